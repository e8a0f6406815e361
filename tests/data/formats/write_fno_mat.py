"""Small files with the layout of the Fourier neural operator's data: MATLAB v5 and v7.3."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

CLASSES = {"float64": b"double", "float32": b"single", "int32": b"int32"}


def write_mat5(path: Path, *, compressed: bool = False, **variables: np.ndarray) -> Path:
    """MATLAB v5, as ``save`` without a switch writes it; the axes are those given."""
    savemat(path, variables, appendmat=False, do_compression=compressed)
    return path


def write_mat73(path: Path, *, chunks: bool = False, **variables: np.ndarray) -> Path:
    """MATLAB v7.3: HDF5 after a userblock, all axes reversed, the class in an attribute.

    ``chunks`` compresses as MATLAB does unless it is told not to.
    """
    more = {"chunks": True, "compression": "gzip", "compression_opts": 3} if chunks else {}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file.create_dataset(name, data=np.ascontiguousarray(values.T), **more)
            file[name].attrs["MATLAB_class"] = np.bytes_(CLASSES[str(values.dtype)])
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jun  1 12:00:00 2020"
    with path.open("r+b") as file:
        file.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def navier_stokes_variables(
    num_trajectories: int = 3, num_records: int = 4, resolution: int = 8, seed: int = 0
) -> dict[str, np.ndarray]:
    """``a (N, X, Y)`` at time 0, ``u (N, X, Y, T)`` without it, ``t (1, T)`` from the first record.

    The axes are as MATLAB shows them.
    """
    rng = np.random.default_rng(seed)
    shape = (num_trajectories, resolution, resolution)
    return {
        "a": rng.normal(size=shape).astype(np.float32),
        "t": np.arange(1.0, num_records + 1)[None],
        "u": rng.normal(size=(*shape, num_records)).astype(np.float32),
    }


def darcy_variables(num_samples: int = 3, resolution: int = 9, seed: int = 0):
    """``coeff`` of 3 and 12, ``sol`` about 1e-2 and not quite zero at the walls, smoothed ones."""
    rng = np.random.default_rng(seed)
    shape = (num_samples, resolution, resolution)
    coeff = np.where(rng.random(shape) < 0.5, 3.0, 12.0)
    smoothed = {name: rng.normal(size=shape) for name in ("Kcoeff", "Kcoeff_x", "Kcoeff_y")}
    return {"coeff": coeff, **smoothed, "sol": 1e-2 * rng.random(shape) + 1e-4}


def burgers_variables(num_samples: int = 3, resolution: int = 16, seed: int = 0):
    """``a`` at time 0 and ``u`` at time 1, both ``(N, X)``."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(num_samples, resolution)) for name in ("a", "u")}


def write_fno_mat(path: Path) -> Path:
    """One v7.3 file of Navier-Stokes with 2 records, so 3 frames, on 8 x 8 points."""
    return write_mat73(path, **navier_stokes_variables(2, 2, 8))
