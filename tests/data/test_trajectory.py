"""A trajectory is checked when it is made, and the message says what is wrong with it."""

import pytest
import torch

from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError


def make(**changes: object) -> Trajectory:
    """Three frames of two channels on a 4 x 6 grid."""
    values = {
        "fields": torch.zeros(3, 2, 4, 6),
        "names": ("a", "b"),
        "grid": Grid.regular((4, 6)),
        "times": torch.tensor([0.0, 0.5, 1.0]),
        "source": Source("run.h5", 7),
    }
    return Trajectory(**(values | changes))


def test_what_was_left_out_is_filled_in():
    grid = Grid((Axis("x", 4), Axis("y", 6, periodic=False)))
    trajectory = make(grid=grid)
    open_side, periodic = BoundaryCondition.OPEN, BoundaryCondition.PERIODIC
    assert trajectory.units == ("unknown", "unknown")
    assert trajectory.boundary == ((periodic, periodic), (open_side, open_side))
    wall = uniform_boundary(BoundaryCondition.WALL, 2)
    assert make(boundary=wall).boundary == wall


@pytest.mark.usefixtures("users_shapes")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"grid": Grid.regular((6, 4))}, "Check the axis order"),
        ({"fields": torch.zeros(3, 2, 4, 6, dtype=torch.int64)}, "fields must be floating point"),
        ({"mask": torch.ones(4, 4, dtype=torch.bool)}, "mask must have the shape of the grid"),
        ({"constants": torch.zeros(1, 4, 6)}, "constants need one name a channel"),
        ({"constants": torch.zeros(1, 4, 4), "constant_names": ("k",)}, "constants need one name"),
        ({"boundary": uniform_boundary(BoundaryCondition.WALL, 1)}, "boundary needs a pair per"),
        ({"names": ("a",)}, "2 channels need 2 different names: got a"),
        ({"names": ("a", "a")}, "2 channels need 2 different names: got a, a"),
        ({"units": ("m",)}, "2 channels need 2 units"),
        ({"times": torch.zeros(2)}, "3 frames need 3 times"),
        ({"times": torch.tensor([0.0, 1.0, 1.0])}, "times must grow strictly"),
    ],
)
def test_a_wrong_part_is_named_with_the_source(changes, says):
    with pytest.raises(DataError, match=r"^run.h5\[7\]: ") as caught:
        make(**changes)
    assert says in str(caught.value)


def test_values_are_not_checked_so_that_a_damaged_file_can_be_looked_at():
    assert make(fields=torch.full((3, 2, 4, 6), float("nan"))).num_frames == 3


def test_the_time_step_is_the_mean_step_and_zero_for_one_frame():
    assert make(times=torch.tensor([0.0, 0.1, 1.0])).dt == pytest.approx(0.5)
    assert make().frames(1, 2).dt == 0.0


def test_a_slice_of_frames_keeps_everything_else():
    trajectory = make(fields=torch.arange(144.0).reshape(3, 2, 4, 6), parameters={"viscosity": 0.1})
    part = trajectory.frames(1, 3)
    assert torch.equal(part.fields, trajectory.fields[1:])
    assert part.times.tolist() == [0.5, 1.0]
    assert (part.names, part.parameters, part.source) == (
        trajectory.names,
        trajectory.parameters,
        trajectory.source,
    )
