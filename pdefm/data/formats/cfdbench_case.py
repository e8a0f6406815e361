"""What ``case.json`` of CFDBench says: which problem, its box, its sides, its obstacle."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from pdefm.data.trajectory import Boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

MAX_BYTES = 1 << 16
"""A ``case.json`` has about two hundred."""
BARRIER_LEFT = 0.5
"""Where the barrier of the dam begins, in metres; the files do not say it."""
WALLS = (BoundaryCondition.WALL, BoundaryCondition.WALL)
THROUGH = (BoundaryCondition.OPEN, BoundaryCondition.OPEN)
BOX = ("width", "height")
FRAME = ("x_min", "x_max", "y_min", "y_max")
PARAMETER_NAMES = {
    "vel_top": "lid_speed",
    "vel_in": "inflow",
    "velocity": "inflow",
    "viscosity": "dynamic_viscosity",
}
NO_PHYSICS = ("case_no", "dx", "dy", *FRAME)
"""Numbers that are no parameters; dx, dy and the frame are the grid's."""


@dataclass(frozen=True)
class Problem:
    """One of the four problems, told by keys that the cases of those below it do not have.

    Args:
        name: In messages.
        keys: Each of which tells the problem.
        needed: Keys without which a case cannot be read.
        boundary: Sides of x and of y.
    """

    name: str
    keys: tuple[str, ...]
    needed: tuple[str, ...]
    boundary: Boundary


PHYSICS = ("density", "viscosity")
PROBLEMS = (
    Problem("cavity", ("vel_top",), ("vel_top", *PHYSICS, *BOX), (WALLS, WALLS)),
    Problem(
        "cylinder", ("radius", *FRAME), ("vel_in", "radius", *PHYSICS, *FRAME), (THROUGH, WALLS)
    ),
    Problem(
        "dam",
        ("barrier_height", "barrier_width"),
        ("velocity", "barrier_height", "barrier_width", *PHYSICS, *BOX),
        (THROUGH, WALLS),
    ),
    Problem("tube", ("vel_in",), ("vel_in", *PHYSICS, *BOX), (THROUGH, WALLS)),
)


@dataclass(frozen=True)
class Case:
    """A ``case.json`` that was read and checked.

    Args:
        problem: Which of the four.
        numbers: Every number of the file, booleans as 0 and 1.
    """

    problem: Problem
    numbers: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> "Case":
        """Read one ``case.json``.

        Raises:
            DataError: Damaged, of no known problem, or without a key that is needed.
        """
        numbers = _read_numbers(path)
        problem = next((p for p in PROBLEMS if set(p.keys) & set(numbers)), None)
        if problem is None:
            raise DataError(
                f"{path}: of no known problem",
                got=", ".join(list(numbers)[:8]) or "no numbers",
                do=f"One of {', '.join(p.keys[0] for p in PROBLEMS)} must be there",
            )
        if missing := [key for key in problem.needed if key not in numbers]:
            raise DataError(
                f"{path}: a case of '{problem.name}' lacks '{missing[0]}'",
                got=", ".join(numbers),
                do="Copy the case again, or add the number",
            )
        case = cls(problem, numbers)
        positive = {"x_max - x_min": case.extent[0], "y_max - y_min": case.extent[1]}
        positive |= {key: numbers[key] for key in PHYSICS}
        if wrong := [key for key, value in positive.items() if not value > 0]:
            raise DataError(
                f"{path}: {wrong[0]} must be positive", got=positive[wrong[0]], do="Repair the case"
            )
        return case

    @property
    def origin(self) -> tuple[float, float]:
        """Lower corner; that of a cylinder's frame, in which the cylinder is at (0, 0)."""
        framed = self.problem.name == "cylinder"
        return (self.numbers["x_min"], self.numbers["y_min"]) if framed else (0.0, 0.0)

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height in metres."""
        n = self.numbers
        if self.problem.name == "cylinder":
            return n["x_max"] - n["x_min"], n["y_max"] - n["y_min"]
        return n["width"], n["height"]

    @property
    def parameters(self) -> dict[str, float]:
        """Numbers by our names; ``viscosity`` is the kinematic one, viscosity over density."""
        found = {
            PARAMETER_NAMES.get(key, key): value
            for key, value in self.numbers.items()
            if key not in NO_PHYSICS
        }
        return found | {"viscosity": self.numbers["viscosity"] / self.numbers["density"]}

    def grid(self, num_x: int, num_y: int) -> Grid:
        """Cell centres of the box."""
        return Grid(
            tuple(
                Axis(name, points, length, periodic=False, origin=origin)
                for name, points, length, origin in zip(
                    "xy", (num_x, num_y), self.extent, self.origin, strict=True
                )
            )
        )

    def obstacle_distance(self, grid: Grid) -> np.ndarray | None:
        """Distance in metres to the obstacle's surface ``[x, y]``, negative inside of it.

        ``None`` where the problem has no obstacle.
        """
        x, y = np.meshgrid(*(axis.coordinates() for axis in grid.axes), indexing="ij")
        n = self.numbers
        if self.problem.name == "cylinder":
            return np.hypot(x, y) - n["radius"]
        if self.problem.name == "dam":
            right = BARRIER_LEFT + n["barrier_width"]
            return np.maximum.reduce([BARRIER_LEFT - x, x - right, y - n["barrier_height"]])
        return None


def _read_numbers(path: Path) -> dict[str, float]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} in place of keys and numbers")
        numbers = {
            key: float(value) for key, value in content.items() if isinstance(value, int | float)
        }
        if wrong := [key for key, value in numbers.items() if not isfinite(value)]:
            raise ValueError(f"{wrong[0]} is {numbers[wrong[0]]}")
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as a case of CFDBench",
            got=str(error)[:120],
            do="Copy the case again",
        ) from error
    return numbers
