"""Pictures of a trajectory, checked by their pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from pdefm.data.picture import draw_frames
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid


def spot(x, y, shape=(40, 40)):
    fields = torch.zeros(1, 1, *shape)
    fields[0, 0, x : x + 8, y : y + 8] = 1.0
    return Trajectory(fields, ("a",), Grid.regular(shape), torch.zeros(1))


def yellow_centre(path):
    """Column and row of the bright spot, as fractions of the panel of dark points."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    dark = np.abs(pixels - (68, 1, 84)).sum(-1) < 12
    bright = np.abs(pixels - (253, 231, 37)).sum(-1) < 12
    columns = np.flatnonzero(dark.sum(0) > 0.3 * dark.sum(0).max())
    rows = np.flatnonzero(dark.sum(1) > 0.3 * dark.sum(1).max())
    bright[:, columns.max() + 5 :] = False  # the colour bar
    row, column = (index.mean() for index in np.nonzero(bright))
    return (
        (column - columns.min()) / np.ptp(columns),
        (row - rows.min()) / np.ptp(rows),
    )


def test_x_points_right_and_y_points_up(tmp_path):
    right, down = yellow_centre(draw_frames(spot(30, 4), tmp_path / "a.png"))
    assert right == pytest.approx(34 / 40, abs=0.05)
    assert down == pytest.approx(1 - 8 / 40, abs=0.05)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_any_dimension_and_bad_values_can_be_drawn(tmp_path, num_dims):
    shape = (8, 6, 4)[:num_dims]
    fields = torch.randn(5, 3, *shape)
    fields[0, 0], fields[:, 1], fields[:, 2] = float("nan"), float("inf"), 2.0
    trajectory = Trajectory(
        fields, ("a", "b", "c"), Grid.regular(shape), torch.arange(5.0), ("m", "unknown", "K")
    )
    path = draw_frames(trajectory, tmp_path / "new" / "a.png", num_frames=9)
    assert Image.open(path).format == "PNG"
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
