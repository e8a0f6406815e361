"""The same arrays in every kind of file that the format ``arrays`` reads."""

from collections.abc import Mapping
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import torch
import zarr
from scipy.io import netcdf_file, savemat

Arrays = Mapping[str, np.ndarray]
Dims = Mapping[str, tuple[str, ...]]


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)
    return path


def write_packed_npz(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def write_torch(path: Path, arrays: Arrays, legacy: bool = False) -> Path:
    tensors = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    return path


def write_hdf5(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return path


def write_mat(path: Path, arrays: Arrays) -> Path:
    savemat(path, dict(arrays), do_compression=True)
    return path


def write_mat73(path: Path, arrays: Arrays) -> Path:
    """As MATLAB does it: a text header before HDF5, axes in reverse, at least two of them."""
    classes = {"float64": b"double", "float32": b"single", "int16": b"int16"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in arrays.items():
            file[key] = np.atleast_2d(array).T
            file[key].attrs["MATLAB_class"] = np.bytes_(classes[str(array.dtype)])
    with path.open("r+b") as file:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024"
        file.write(text.ljust(116) + b"\0" * 8 + b"\x00\x02IM")
    return path


def write_netcdf4(
    path: Path, arrays: Arrays, dims: Dims, attributes: Mapping[str, Mapping] | None = None
) -> Path:
    with h5netcdf.File(path, "w") as file:
        for key, array in arrays.items():
            for name, length in zip(dims[key], array.shape, strict=True):
                if name not in file.dimensions:
                    file.dimensions[name] = length
            variable = file.create_variable(key, dims[key], array.dtype, data=array)
            for name, value in (attributes or {}).get(key, {}).items():
                variable.attrs[name] = value
    return path


def write_netcdf3(
    path: Path, arrays: Arrays, dims: Dims, attributes: Mapping[str, Mapping] | None = None
) -> Path:
    with netcdf_file(path, "w") as file:
        for key, array in arrays.items():
            for name, length in zip(dims[key], array.shape, strict=True):
                if name not in file.dimensions:
                    file.createDimension(name, length)
            variable = file.createVariable(key, array.dtype, dims[key])
            variable.data[...] = array
            for name, value in (attributes or {}).get(key, {}).items():
                setattr(variable, name, value)
    return path


def write_zarr(
    path: Path,
    arrays: Arrays,
    dims: Dims | None = None,
    attributes: Mapping[str, Mapping] | None = None,
    version: int = 3,
) -> Path:
    """One chunk a frame; names of dimensions as xarray writes them in either version."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for key, array in arrays.items():
        chunks = (1, *array.shape[1:]) if array.ndim > 1 else array.shape
        named = {} if dims is None or version == 2 else {"dimension_names": dims[key]}
        stored = group.create_array(
            key, shape=array.shape, chunks=chunks, dtype=array.dtype, **named
        )
        stored[...] = array
        stored.attrs.update((attributes or {}).get(key, {}))
        if dims is not None and version == 2:
            stored.attrs["_ARRAY_DIMENSIONS"] = list(dims[key])
    return path


WITHOUT_NAMED_AXES = {
    "npz": (write_npz, ".npz"),
    "packed_npz": (write_packed_npz, ".npz"),
    "torch": (write_torch, ".pt"),
    "torch_legacy": (lambda path, arrays: write_torch(path, arrays, legacy=True), ".pt"),
    "hdf5": (write_hdf5, ".h5"),
    "mat": (write_mat, ".mat"),
    "mat73": (write_mat73, ".mat"),
    "zarr": (write_zarr, ".zarr"),
}
WITH_NAMED_AXES = {
    "netcdf4": (write_netcdf4, ".nc"),
    "netcdf3": (write_netcdf3, ".nc"),
    "zarr3": (write_zarr, ".zarr"),
    "zarr2": (lambda *arguments: write_zarr(*arguments, version=2), ".zarr"),
}
