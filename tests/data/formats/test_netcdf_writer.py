"""What is written as NetCDF comes back with names, units, times and holes."""

from dataclasses import replace

import pytest
import torch

from pdefm.data.formats.netcdf_writer import write_netcdf
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError


def member(seed, mask=None):
    random = torch.Generator().manual_seed(seed)
    return Trajectory(
        fields=torch.randn(4, 2, 8, 16, generator=random),
        names=("sst", "chl"),
        units=("K", "mg m-3"),
        grid=Grid.regular((8, 16), (2.0, 4.0)),
        times=1.5 + 0.25 * torch.arange(4, dtype=torch.float64),
        mask=mask,
    )


def test_members_come_back_as_trajectories(tmp_path):
    members = [member(0), member(1)]
    found = open_trajectories(write_netcdf(tmp_path / "r.nc", members))
    assert len(found) == 2
    for wanted, read in zip(members, found, strict=True):
        order = [read.names.index(name) for name in wanted.names]
        assert torch.equal(read.fields[:, order], wanted.fields)
        assert [read.units[i] for i in order] == ["K", "mg m-3"]
        assert read.dt == pytest.approx(0.25)
        assert read.grid.extent == pytest.approx((2.0, 4.0))


def test_what_lies_outside_is_missing(tmp_path):
    import h5netcdf

    mask = torch.ones(8, 16, dtype=torch.bool)
    mask[2] = False
    write_netcdf(tmp_path / "r.nc", [member(0, mask)])
    with h5netcdf.File(tmp_path / "r.nc", "r") as file:
        values = torch.as_tensor(file["sst"][:])
        assert file["sst"].dimensions == ("member", "time", "x", "y")
        assert file["sst"].attrs["units"] == "K"
    assert values.isnan().any((0, 1)).equal(~mask)


def test_mixed_and_no_trajectories_are_refused(tmp_path):
    with pytest.raises(DataError, match="nothing to write"):
        write_netcdf(tmp_path / "r.nc", [])
    other = replace(member(0), names=("sst", "salt"))
    with pytest.raises(DataError, match="of one kind"):
        write_netcdf(tmp_path / "r.nc", [member(0), other])
    assert not list(tmp_path.iterdir())
