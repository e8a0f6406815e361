"""Fields and grids: positions, spacings and names."""

import numpy as np
import pytest

from pdefm.domain import Axis, BoundaryCondition, Field, Grid
from pdefm.errors import DataError


def test_a_periodic_axis_leaves_out_its_right_end():
    axis = Axis("x", num_points=4, extent=2.0, origin=1.0)
    assert axis.spacing == 0.5
    np.testing.assert_allclose(axis.coordinates(), [1.0, 1.5, 2.0, 2.5])


def test_another_axis_has_cell_centres():
    axis = Axis("x", num_points=4, extent=2.0, periodic=False)
    np.testing.assert_allclose(axis.coordinates(), [0.25, 0.75, 1.25, 1.75])
    assert axis.coordinates().mean() == pytest.approx(axis.extent / 2)


@pytest.mark.parametrize(
    ("num_points", "extent"), [(0, 1.0), (4, 0.0), (4, -1.0), (4, float("nan"))]
)
def test_an_axis_without_points_or_length_is_refused(num_points, extent):
    with pytest.raises(DataError, match="axis 'x' needs points and a positive extent"):
        Axis("x", num_points=num_points, extent=extent)


def test_a_regular_grid_names_its_axes_in_array_order():
    grid = Grid.regular((4, 8), extent=(1.0, 2.0), periodic=False)
    assert (grid.shape, grid.extent, grid.names) == ((4, 8), (1.0, 2.0), ("x", "y"))
    assert grid.num_dims == 2
    assert [axis.periodic for axis in grid.axes] == [False, False]
    assert Grid.regular((4, 8, 2)).extent == (1.0, 1.0, 1.0)


def test_extents_must_match_the_axes():
    with pytest.raises(DataError, match="extent 1,1"):
        Grid.regular((4, 8), extent=(1.0,))


@pytest.mark.parametrize("num_dims", [0, 4])
def test_a_grid_has_one_to_three_axes(num_dims):
    with pytest.raises(DataError, match=f"got {num_dims}"):
        Grid(tuple(Axis(f"a{i}", 2) for i in range(num_dims)))


def test_components_of_vectors_and_tensors_are_named_slowest_index_first():
    axes = ("x", "y")
    assert Field("height").component_names(axes) == ("height",)
    assert Field("v", tensor_order=1).component_names(axes) == ("v_x", "v_y")
    stress = Field("s", tensor_order=2).component_names(axes)
    assert stress == ("s_x_x", "s_x_y", "s_y_x", "s_y_y")


def test_boundary_conditions_are_the_words_of_the_file_format():
    assert [str(kind) for kind in BoundaryCondition] == ["periodic", "wall", "open"]
