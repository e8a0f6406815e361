"""Files and stores that hold arrays of numbers under keys: one kind a module, one line here.

A container is asked with the path and the first bytes whether a file is its own. The table is asked
from top to bottom; what HDF5 carries in disguise (MATLAB 7.3, NetCDF-4) comes before ``hdf5``.
"""

from pdefm.registry import Registry

CONTAINERS = Registry(
    "container",
    {
        "npy": "pdefm.data.formats.containers.npy:NpyFile",
        "npz": "pdefm.data.formats.containers.npz:NpzFile",
        "torch": "pdefm.data.formats.containers.torch_file:TorchFile",
        "mat": "pdefm.data.formats.containers.mat:MatContainer",
        "netcdf3": "pdefm.data.formats.containers.netcdf3:Netcdf3File",
        "netcdf4": "pdefm.data.formats.containers.netcdf4:Netcdf4File",
        "hdf5": "pdefm.data.formats.containers.hdf5:Hdf5File",
        "zarr": "pdefm.data.formats.containers.zarr_store:ZarrStore",
    },
)
