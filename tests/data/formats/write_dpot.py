"""Small files with the layout of DPOT's own data scripts: contiguous, uncompressed HDF5."""

from pathlib import Path

import h5py
import numpy as np


def numbers(*shape: int, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    """Random values."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def write_arrays(path: Path, **arrays: np.ndarray) -> Path:
    """One HDF5 file of these datasets."""
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values)
    return path


def write_dpot_single(path: Path, data: np.ndarray) -> Path:
    """``data (N, X, Y, T[, C])``, all trajectories in one file."""
    return write_arrays(path, data=data)


def write_dpot_scattered(folder: Path, data: np.ndarray) -> Path:
    """``folder/data_{i}.hdf5`` with ``data``, the i-th item of the first axis."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(data):
        write_arrays(folder / f"data_{number}.hdf5", data=values)
    return folder


def write_dpot_steady(folder: Path, inputs: np.ndarray, solutions: np.ndarray) -> Path:
    """``folder/data_{i}.hdf5`` with ``x`` and ``y``, the i-th items."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (x, y) in enumerate(zip(inputs, solutions, strict=True)):
        write_arrays(folder / f"data_{number}.hdf5", x=x, y=y)
    return folder


def write_dpot(path: Path) -> Path:
    """One file of 5 trajectories of 3 frames of one field on 8 x 8 points, without a C axis."""
    return write_dpot_single(path, numbers(5, 8, 8, 3))
