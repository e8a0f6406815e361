"""Equations solved by time steps, more than one a frame where that is needed."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from pdefm.errors import RecipeError
from pdefm.pdes.base import PDE


class SteppedPDE(PDE):
    """``u_t = f(u)`` whose solver divides every frame into steps of its own choice.

    Args:
        dt: Time between saved frames.
        parameter_ranges: Replaces ranges by name.
        num_substeps: Fixed number of steps a frame instead, for convergence studies.

    Raises:
        RecipeError: A ``num_substeps`` below 1, or as for every PDE.
    """

    max_substeps: int
    """A sample that needs more steps a frame is given up as 'time step too small'."""

    def __init__(
        self,
        *,
        dt: float | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
        num_substeps: int | None = None,
    ) -> None:
        super().__init__(dt=dt, parameter_ranges=parameter_ranges)
        if num_substeps is not None and num_substeps < 1:
            raise RecipeError(
                f"{self.name}: num_substeps must be at least 1",
                got=num_substeps,
                do="Leave it out to let the solver choose",
            )
        self.num_substeps = num_substeps

    @abstractmethod
    def scheme(self) -> dict[str, Any]:
        """Method of the solver and its constants, plain JSON values that decide the numbers."""

    def configuration(self) -> dict[str, Any]:
        """As for every PDE, with method and step rule."""
        return (
            super().configuration()
            | self.scheme()
            | {"num_substeps": self.num_substeps, "max_substeps": self.max_substeps}
        )
