"""Equations as a place that data come from: ``pde://burgers?resolution=64&seed=0``."""

import inspect
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.described import describe
from pdefm.data.generate import Order
from pdefm.data.orders import orders_for
from pdefm.data.shards import solve_trajectories
from pdefm.data.trajectory import Source, Trajectory
from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.registry import nearest_name_hint

URI = re.compile(r"pde:/{1,2}(?P<family>[^/?#]*)/?(?:\?(?P<query>[^#]*))?")
"""A path object makes one slash of two."""
WHOLE_NUMBERS = {"num_trajectories": 1, "resolution": 1, "num_frames": 1, "seed": 0}
"""Options and their smallest values."""
WORDS = ("split", "device")
BLOCK = 16
"""Trajectories that are solved together."""
KEPT_BLOCKS = 2
EXAMPLE = "Write it like pde://burgers?resolution=64&num_frames=21&seed=0&num_trajectories=16"


class PdeSource(TrajectoryCollection):
    """Trajectories of one equation, solved when they are read: nothing is on disk.

    ``pde://FAMILY?resolution=64&num_frames=21&seed=0&num_trajectories=8&split=train&device=cpu``,
    each of which may be left out; other words are settings of the equation, such as ``dt=0.1`` or
    ``parameter_ranges.viscosity=0.01``. Trajectory ``i`` is a function of the family, its settings,
    the seed, the split and ``i``, and is that of ``pdefm data generate`` with the same words.
    Blocks of ``BLOCK`` are solved when one of their trajectories is first read, and the last two
    are kept.

    Args:
        path: The URI, or the family alone.
        description: May override names and units.

    Raises:
        RecipeError: Unknown family, option, split or setting, or a number out of range.
    """

    format = "pde"
    suffixes = ()
    scheme = "pde"

    def __init__(self, path: str | Path, description: Description | None = None) -> None:
        self.order = read_uri(str(path))
        self.uri, self.path, self.name = str(path), Path(path), self.order.family
        self.description = description or Description()
        self.description.refuse(
            *("axes", "variables", "dt", "extent", "boundary"),
            where=self.uri,
            why="the equation has its own",
        )
        self.pde, self.plan = self.order.make_pde(), self.order.plan()

    @classmethod
    def recognise(cls, path: str | Path) -> str | None:
        """A URI of this kind; never anything on disk."""
        found = URI.fullmatch(str(path))
        return f"the equation {found['family']}, solved when read" if found else None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_blocks"}

    @cached_property
    def _blocks(self) -> dict[int, list[Trajectory]]:
        return {}

    def __len__(self) -> int:
        return self.order.num_trajectories

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories."""
        self.check_index(index)
        return self.order.num_frames

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, which is solved if it is not among the last ones."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        number, place = divmod(index, BLOCK)
        return describe(self._block(number)[place].frames(start, stop), self.description)

    def _block(self, number: int) -> list[Trajectory]:
        block = self._blocks.pop(number, None)
        if block is None:
            while len(self._blocks) >= KEPT_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            indices = range(len(self))[number * BLOCK : (number + 1) * BLOCK]
            block, _ = solve_trajectories(
                self.pde,
                indices,
                resolution=tuple(self.plan["resolution"]),
                num_frames=self.order.num_frames,
                seed=self.order.seed,
                first_index=self.plan["first_index"],
                device=self.order.device,
            )
            block = [
                replace(trajectory, source=Source(self.uri, index))
                for index, trajectory in zip(indices, block, strict=True)
            ]
        self._blocks[number] = block  # the last one used comes last
        return block


def read_uri(uri: str) -> Order:
    """What a URI, or a family's bare name, asks for.

    Args:
        uri: As in ``EXAMPLE``.

    Raises:
        RecipeError: Not of this kind, an unknown family or option, or a value that cannot be read.
    """
    found = URI.fullmatch(uri)
    if not found and not re.fullmatch(r"\w+", uri):
        raise RecipeError("not the URI of an equation", got=f"'{uri[:80]}'", do=EXAMPLE)
    family = unquote(found["family"]) if found else uri
    if family not in PDES:
        raise RecipeError(
            f"{uri}: unknown equation", got=f"'{family}'", do=nearest_name_hint(family, list(PDES))
        )
    try:
        pairs = parse_qsl(
            (found and found["query"]) or "",
            keep_blank_values=True,
            strict_parsing=bool(found and found["query"]),
            max_num_fields=100,
        )
    except ValueError as error:
        raise RecipeError(f"{uri}: cannot be read", got=error, do=EXAMPLE) from error
    options: dict[str, Any] = {}
    settings = []
    own = list(inspect.signature(PDES[family]).parameters)
    if len(dict(pairs)) < len(pairs):
        raise RecipeError(f"{uri}: an option is there twice", do="Leave one out")
    for key, value in pairs:
        if key in WHOLE_NUMBERS:
            options[key] = _whole_number(uri, key, value)
        elif key in WORDS:
            options[key] = value
        elif key.partition(".")[0] in own:
            settings.append(f"{key}={value}")
        else:
            raise RecipeError(
                f"{uri}: unknown option",
                got=f"'{key}'",
                do=nearest_name_hint(key, [*WHOLE_NUMBERS, *WORDS, *own]),
            )
    return orders_for([family], Path(), settings=settings, **options)[0]


def _whole_number(uri: str, key: str, value: str) -> int:
    least = WHOLE_NUMBERS[key]
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < least:
        raise RecipeError(
            f"{uri}: {key} must be a whole number of at least {least}",
            got=f"'{value}'",
            do=f"Write it like {key}={max(least, 16)}",
        )
    return int(value)
