"""Small trajectories and hand-made files for the tests of the data room."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.trajectory import Trajectory
from pdefm.domain import Axis, BoundaryCondition, Grid

P, W, O = BoundaryCondition.PERIODIC, BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


@pytest.fixture
def make_trajectory() -> Callable[..., Trajectory]:
    """A trajectory with everything: vector, odd names, walls, mask, constants, parameters."""

    def make(seed: int = 0, num_frames: int = 5, **changes: Any) -> Trajectory:
        random = torch.Generator().manual_seed(seed)
        grid = Grid((Axis("x", 8, 2 * np.pi, True), Axis("y", 6, 1.5, False, -0.3)))
        content: dict[str, Any] = {
            "fields": torch.randn(num_frames, 4, 8, 6, generator=random),
            "names": ("velocity_x", "velocity_y", "density", "a_x"),
            "units": ("m/s", "m/s", "kg/m^3", "K"),
            "grid": grid,
            "times": torch.arange(num_frames, dtype=torch.float64) * 0.1 + 0.01 * seed,
            "boundary": ((P, P), (W, O)),
            "parameters": {"viscosity": 0.1, "reynolds": float(seed)},
            "mask": torch.rand(8, 6, generator=random) > 0.3,
            "constants": torch.randn(1, 8, 6, generator=random),
            "constant_names": ("bottom",),
        }
        return Trajectory(**(content | changes))

    return make


@pytest.fixture
def wild_well_file(tmp_path: Path) -> Path:
    """A file as others write them: plain-text names, attributes left out, empty masks."""
    path = tmp_path / "wild.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["n_trajectories"] = 3
        file.attrs["n_spatial_dims"] = 2
        file.attrs["simulation_parameters"] = ["alpha"]
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        dimensions["time"] = np.arange(4, dtype=np.float32) * 0.5
        dimensions["x"] = (np.arange(8) / 8).astype(np.float32)
        dimensions["y"] = ((np.arange(6) + 0.5) / 3).astype(np.float32)
        for name, dim, kind in (("sides", "x", "periodic"), ("floor", "y", "WALL")):
            group = file.create_group(f"boundary_conditions/{name}")
            group.attrs["associated_dims"] = dim
            group.attrs["bc_type"] = kind
            group["mask"] = np.zeros(8 if dim == "x" else 6, bool)
        file["boundary_conditions/floor/mask"][0] = True
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = ["alpha", "force", "beta"]
        scalars["alpha"] = np.array([2.0], np.float32)
        scalars["force"] = np.arange(4.0)
        scalars["beta"] = np.arange(3.0)
        random = np.random.default_rng(0)
        values = {
            "t0_fields": {"density": (3, 4, 8, 6), "depth": (8, 6), "profile": (3, 4, 6)},
            "t1_fields": {"velocity": (3, 4, 8, 6, 2)},
            "t2_fields": {"stress": (4, 8, 6, 2, 2)},
        }
        for group, fields in values.items():
            file.create_group(group).attrs["field_names"] = list(fields)
            for name, shape in fields.items():
                file[group][name] = random.normal(size=shape).astype(np.float32)
        file["t0_fields/profile"].attrs["dim_varying"] = [False, True]
    return path
