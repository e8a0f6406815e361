"""What the user says about data that do not say it themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from math import inf, isfinite
from typing import Any

from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError, RecipeError
from pdefm.registry import nearest_name_hint


@dataclass(frozen=True)
class Description:
    """Options of ``open_trajectories``; empty or ``None`` means "not said".

    Args:
        axes: Meaning of the array's axes, as in ``N T C X Y``.
        names: One name a channel.
        units: One unit a channel.
        dt: Time between frames.
        extent: Length of each space axis.
        boundary: Condition at all sides.
        variables: Field name and where the file keeps it, as in ``u=velocity/x,p=press``; a key may
            stand alone.
    """

    axes: str | None = None
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dt: float | None = None
    extent: tuple[float, ...] = ()
    boundary: BoundaryCondition | None = None
    variables: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_options(cls, **options: Any) -> "Description":
        """Read options as a command line or a recipe gives them.

        Args:
            options: Keys of this class; lists may be text such as ``a,b``.

        Raises:
            RecipeError: An unknown option, or a value that cannot be read.
        """
        known = [f.name for f in fields(cls)]
        for option in options:
            if option not in known:
                raise RecipeError(
                    "unknown description option",
                    got=f"'{option}'",
                    do=nearest_name_hint(option, known),
                )
        given = {key: value for key, value in options.items() if value is not None}
        readers = {
            "axes": str,
            "names": partial(_as_words, "names"),
            "units": partial(_as_words, "units"),
            "dt": _as_time_step,
            "extent": _as_lengths,
            "boundary": _as_boundary,
            "variables": _as_variables,
        }
        return cls(**{key: readers[key](value) for key, value in given.items()})

    def refuse(self, *options: str, where: str, why: str) -> None:
        """Raise if an option was given that a format has no use for.

        Raises:
            RecipeError: Names the option and the file.
        """
        for option in options:
            if value := getattr(self, option):
                raise RecipeError(
                    f"{where}: --{option} has no meaning here, {why}",
                    got=value,
                    do=f"Leave out --{option}",
                )


def choose_one_per_channel(
    given: tuple[str, ...], found: tuple[str, ...], *, where: str, option: str
) -> tuple[str, ...]:
    """The user's words if any were given, else the file's.

    Raises:
        DataError: Not one word a channel.
    """
    if given and len(given) != len(found):
        raise DataError(
            f"{where}: {len(found)} channels need {len(found)} {option}",
            got=f"{len(given)} ({', '.join(given)})",
            do=f"Give one a channel, as in --{option} {','.join('abcdefgh'[: len(found)])}",
        )
    return given or found


def _as_words(option: str, value: str | Sequence[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    words = tuple(str(part).strip() for part in parts)
    if not all(words):
        raise RecipeError(f"--{option} holds an empty word", got=words, do="Write it like a,b")
    return words


def _as_variables(
    value: str | Sequence[str] | Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        value = [f"{name}={key}" for name, key in value.items()]
    pairs = [word.partition("=") for word in _as_words("variables", value)]
    named = tuple((name.strip(), (key or name).strip()) for name, _, key in pairs)
    if not all(name and key for name, key in named):
        raise RecipeError(
            "--variables holds an empty word", got=value, do="Write it like u=velocity_x,p=press"
        )
    return named


def _as_time_step(value: int | float | str) -> float:
    dt = _as_number("dt", value)
    if not dt > 0:
        raise RecipeError("--dt must be positive", got=dt, do="Give the time between frames")
    return dt


def _as_lengths(value: int | float | str | Sequence[int | float | str]) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    parts = parts if isinstance(parts, Sequence) else [parts]
    lengths = tuple(_as_number("extent", part) for part in parts)
    if not all(length > 0 for length in lengths):
        raise RecipeError("--extent must be positive", got=lengths, do="Give the axes' lengths")
    return lengths


def _as_number(option: str, value: int | float | str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = inf
    if not isfinite(number):
        raise RecipeError(f"--{option} must be a number", got=f"'{value}'", do="Write it like 0.1")
    return number


def _as_boundary(value: str) -> BoundaryCondition:
    known = [kind.value for kind in BoundaryCondition]
    if str(value).lower() not in known:
        raise RecipeError(
            "unknown boundary", got=f"'{value}'", do=nearest_name_hint(str(value), known)
        )
    return BoundaryCondition(str(value).lower())
