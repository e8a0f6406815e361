"""Which arrays of a container are fields, constants and parameters, and what their axes mean."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdefm.data.description import Description
from pdefm.data.formats.axis_spec import EXAMPLES, AxisSpec
from pdefm.data.formats.axis_words import coordinates_of, letter_of, spec_from_dims, word_of
from pdefm.data.formats.containers.container import ArrayFacts
from pdefm.errors import DataError
from pdefm.registry import nearest_name_hint

MAX_LISTED = 8
TIME_STEP = ("dt", "delta_t")


@dataclass(frozen=True)
class FieldArray:
    """An array that fills one or more channels.

    Args:
        name: As the user or the key says.
        key: In the container.
        spec: Meaning of its axes.
        units: ``unknown`` if the container does not say.
    """

    name: str
    key: str
    spec: AxisSpec
    units: str

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One per channel; several get numbers, and so does an array without a name."""
        num = self.spec.size("C")
        if self.name and num == 1:
            return (self.name,)
        return tuple(f"{self.name or 'channel'}_{i}" for i in range(num))


@dataclass(frozen=True)
class ArrayLayout:
    """What a container means.

    Args:
        fields: Arrays of the channels, in order.
        constants: Arrays that lack the time axis which the fields have.
        scalars: Name and key of parameters that all trajectories share.
        vectors: Name and key of parameters, one value a trajectory.
        sizes: Length of each axis by its letter.
        points: Key of the coordinates of an axis by its letter.
        words: What an axis is called by its letter, for what its sides are.
        dt_key: Key of a time step; empty if there is none.
    """

    fields: tuple[FieldArray, ...]
    constants: tuple[FieldArray, ...]
    scalars: tuple[tuple[str, str], ...]
    vectors: tuple[tuple[str, str], ...]
    sizes: dict[str, int]
    points: dict[str, str]
    words: dict[str, str]
    dt_key: str = ""

    @property
    def space(self) -> tuple[str, ...]:
        """Space axes in the order x, y, z."""
        return self.fields[0].spec.space


def read_array_layout(
    arrays: Mapping[str, ArrayFacts], description: Description, path: Path
) -> ArrayLayout:
    """Decide what the arrays are.

    With ``variables`` these are the fields; otherwise all arrays of the largest shape are, and, if
    dimensions have names, all others on the same grid. What lacks the time axis is a constant, what
    lacks the trajectory axis is shared, one value (or one a trajectory) is a parameter.

    Raises:
        DataError: Nothing fits, or it is not clear what the axes are; the message lists the arrays.
    """
    named = [(name, key) for name, key in description.variables]
    for _, key in named:
        if key not in arrays:
            hint = nearest_name_hint(key, list(arrays)[:50])
            raise DataError(f"{path}: --variables: no such array", got=f"'{key}'", do=hint)
    chosen = [key for _, key in named] or _candidates(arrays, path)
    main = max(chosen, key=lambda key: (len(arrays[key].squeezed), arrays[key].size))
    if not named:
        main = max(chosen, key=lambda key: arrays[key].size)
    by_dims = description.axes is None and arrays[main].dims is not None
    first = _first_spec(arrays, main, description, by_dims, path)
    specs = {
        key: spec
        for key in chosen
        if (spec := _spec_beside(arrays, key, first, main, by_dims, same_shape=not named))
    }
    names = dict((key, name) for name, key in named)
    others = [key for key in chosen if key not in specs]
    scalars, vectors = _parameters(arrays, specs, first, by_dims, listed=names)
    if named:
        _refuse_misfits([k for k in others if k not in {*scalars, *vectors}], main, arrays, path)
    _check_numbers([*specs], arrays, path)
    with_time = any("T" in spec.letters for spec in specs.values())
    fields, constants = [], []
    for key, spec in specs.items():
        name = names.get(key, key.replace("/", "_"))
        array = FieldArray(name, key, spec, arrays[key].units or "unknown")
        (constants if with_time and "T" not in spec.letters else fields).append(array)
    dt_key = next((key for key in scalars if word_of(key) in TIME_STEP), "")
    points, words = _coordinates(arrays, first, arrays[main], {*specs})
    sizes = {letter: n for spec in specs.values() for letter, n in spec.sizes.items()}
    said = {key: names.get(key, key.replace("/", "_")) for key in (*scalars, *vectors)}
    return ArrayLayout(
        tuple(fields),
        tuple(constants),
        tuple((said[key], key) for key in scalars if key != dt_key),
        tuple((said[key], key) for key in vectors),
        sizes,
        points,
        words,
        dt_key,
    )


def _candidates(arrays: Mapping[str, ArrayFacts], path: Path) -> list[str]:
    """Arrays that may be fields: numbers that are not coordinates."""
    if len(arrays) == 1:
        _check_numbers(arrays, arrays, path)
        return list(arrays)
    points = {*coordinates_of(arrays).values()}
    numbers = [key for key, facts in arrays.items() if facts.kind != "other" and facts.size]
    fields = [key for key in numbers if key not in points and arrays[key].size > 1]
    if found := fields or numbers:
        return found
    raise DataError(
        f"{path}: holds no arrays of numbers",
        got=listed(arrays) or "nothing",
        do="Check the file; objects and texts are not read",
    )


def _first_spec(
    arrays: Mapping[str, ArrayFacts],
    main: str,
    description: Description,
    by_dims: bool,
    path: Path,
) -> AxisSpec:
    """Axes of the array that has most of them."""
    facts = arrays[main]
    _check_numbers([main], arrays, path)
    if by_dims:
        found = spec_from_dims(facts, arrays)
        found = found if isinstance(found, str) or found.space else "no space axis"
        if isinstance(found, AxisSpec):
            return found
        raise _unclear(f"{path}: the axes of '{main}' are not clear: {found}", arrays, main)
    if description.axes is None and main:
        raise _unclear(f"{path}: the axes of its arrays cannot be guessed", arrays, main)
    where = f"{path}: {main}" if main else str(path)
    return AxisSpec.parse(description.axes, facts.shape, where)


def _unclear(what: str, arrays: Mapping[str, ArrayFacts], main: str) -> DataError:
    shape = arrays[main].squeezed
    alike = [key for key, facts in arrays.items() if facts.squeezed == shape][:4]
    variables = ",".join(f"{key.replace('/', '_')}={key}" for key in alike)
    axes = EXAMPLES.get(len(shape), "N T C X Y")
    return DataError(
        what,
        got=listed(arrays),
        do=f"Say what they are, as in --axes '{axes}' --variables {variables} "
        "(N trajectory, T time, C channel, X Y Z space)",
    )


def listed(arrays: Mapping[str, ArrayFacts]) -> str:
    """Keys with shapes (and dimensions) on one line."""
    words = []
    for key, facts in list(arrays.items())[:MAX_LISTED]:
        axes = facts.shape if facts.dims is None else zip(facts.dims, facts.shape, strict=True)
        inside = ", ".join(str(n) if isinstance(n, int) else f"{n[0]} {n[1]}" for n in axes)
        words.append(
            f"{key or 'array'} [{inside}]" + (facts.dtype if facts.kind == "other" else "")
        )
    more = len(arrays) - MAX_LISTED
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _spec_beside(
    arrays: Mapping[str, ArrayFacts],
    key: str,
    first: AxisSpec,
    main: str,
    by_dims: bool,
    same_shape: bool,
) -> AxisSpec | None:
    """Axes of a field or constant on the grid of the main array; ``None`` if it is neither."""
    facts = arrays[key]
    if key == main:
        return first
    if not by_dims:
        if same_shape:
            fits = facts.squeezed == arrays[main].squeezed and facts.kind == "real"
            return first.lesser(facts.shape) if fits else None
        return None if facts.size == 1 else first.lesser(facts.shape)
    found = spec_from_dims(facts, arrays) if facts.dims is not None else ""
    if isinstance(found, str) or found.space != first.space:
        return None
    known = {**first.sizes, "C": found.size("C")}
    return found if all(known.get(x, n) == n for x, n in found.sizes.items()) else None


def _parameters(
    arrays: Mapping[str, ArrayFacts],
    specs: Mapping[str, AxisSpec],
    first: AxisSpec,
    by_dims: bool,
    listed: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """Keys of single values, and of vectors with one value a trajectory."""
    points = {*coordinates_of(arrays).values()} - {*listed}
    left = [k for k, f in arrays.items() if k not in specs and k not in points and f.kind == "real"]
    scalars = [k for k in left if arrays[k].size == 1 and letter_of(k) not in (*"TXYZ",)]
    num = first.size("N")
    also = [n for letter, n in first.sizes.items() if letter not in ("N", "C")]
    vectors = []
    for key in left:
        facts = arrays[key]
        if facts.squeezed != (num,):
            continue
        if by_dims and facts.dims is not None:
            found = spec_from_dims(facts, arrays)
            own = isinstance(found, AxisSpec) and [*found.sizes] == ["N"]
        else:
            own = num not in also or key in listed
        if own:
            vectors.append(key)
    return scalars, vectors


def _refuse_misfits(
    keys: Sequence[str], main: str, arrays: Mapping[str, ArrayFacts], path: Path
) -> None:
    if keys:
        raise DataError(
            f"{path}: --variables: '{keys[0]}' does not lie on the grid of '{main}'",
            got=listed({key: arrays[key] for key in (keys[0], main)}),
            do="Choose variables of one grid; one that differs may lack only C, T or N",
        )


def _check_numbers(keys: Iterable[str], arrays: Mapping[str, ArrayFacts], path: Path) -> None:
    for key in keys:
        if arrays[key].kind != "real":
            raise DataError(
                f"{path}: {f'{key}: ' if key else ''}fields must be real numbers",
                got=f"dtype {arrays[key].dtype}",
                do="Store real and imaginary parts as two channels, or convert to float32",
            )


def _coordinates(
    arrays: Mapping[str, ArrayFacts], first: AxisSpec, main: ArrayFacts, fields: set[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Key of the points and word of each time and space axis."""
    known = {dim: key for dim, key in coordinates_of(arrays).items() if key not in fields}
    dims = dict(zip(first.letters, main.dims, strict=True)) if main.dims else {}
    points: dict[str, str] = {}
    for letter in ("T", *first.space):
        size = first.size(letter)
        names = [dims[letter]] if letter in dims else []
        names += [dim for dim in known if letter_of(dim) == letter]
        for name in names:
            if name in known and arrays[known[name]].size == size and size > 1:
                points.setdefault(letter, known[name])
    words = {letter: dims.get(letter, points.get(letter, letter)) for letter in first.space}
    return points, {letter: word_of(name) for letter, name in words.items()}
