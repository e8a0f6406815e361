"""Damaged copies of good files: bits flipped, bytes cut off, pieces moved, numbers made extreme."""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OPTIONS = {"axes": "N T C X Y"}
SHAPE = (2, 4, 2, 16, 16)
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def save_well(path: Path) -> None:
    import torch

    from pdefm.data.formats.well_writer import write_well
    from pdefm.data.trajectory import Trajectory
    from pdefm.domain import Grid

    values = torch.from_numpy(numbers())
    times = torch.arange(float(SHAPE[1]))
    grid = Grid.regular((16, 16))
    write_well(path, [Trajectory(v, ("a", "b"), grid, times) for v in values], "sample")


def save_chunked(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("u", data=numbers(), chunks=(1, 1, 2, 16, 16), compression="gzip")
        file["u"].attrs["units"] = ["m/s", "K"]


def save_plain(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["group/u"] = numbers()
        file["group"].attrs["note"] = "hello"


def save_netcdf4(path: Path) -> None:
    import h5netcdf

    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(("sample", "time", "channel", "x", "y"), SHAPE, strict=True))
        file.create_variable("time", ("time",), "f8", data=np.arange(4.0))
        variable = file.create_variable("u", tuple(file.dimensions), "f4", data=numbers())
        variable.attrs["units"] = "m/s"


def save_netcdf3(path: Path) -> None:
    from scipy.io import netcdf_file

    with netcdf_file(path, "w") as file:
        names = ("sample", "time", "channel", "x", "y")
        for name, length in zip(names, SHAPE, strict=True):
            file.createDimension(name, length)
        variable = file.createVariable("u", "f4", names)
        variable[:] = numbers()
        variable.units = "m/s"


def save_mat(packed: bool) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        from scipy.io import savemat

        content = {"u": numbers(), "t": np.arange(4.0), "note": "hello", "s": {"a": 1.0}}
        savemat(path, content, do_compression=packed)

    return save


def save_mat73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["u"] = numbers().transpose()
        file["u"].attrs["MATLAB_class"] = np.bytes_("single")
    head = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as file:
        file.write(head)


def save_pt(path: Path) -> None:
    import torch

    torch.save({"u": torch.from_numpy(numbers())}, path)


def save_zarr(version: int) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        import zarr

        group = zarr.open_group(str(path), mode="w", zarr_format=version)
        array = group.create_array("u", shape=SHAPE, chunks=(1, 2, 2, 16, 16), dtype="f4")
        array[:] = numbers()

    return save


SAMPLES: dict[str, dict[str, Callable[[Path], None]]] = {
    "h5": {"a.hdf5": save_well, "b.h5": save_chunked, "c.h5": save_plain},
    "nc": {"a.nc": save_netcdf4, "b.nc": save_netcdf3},
    "npy": {
        "a.npy": lambda path: np.save(path, numbers()),
        "b.npz": lambda path: np.savez(path, u=numbers()),
        "c.npz": lambda path: np.savez_compressed(path, u=numbers()),
        "d.pt": save_pt,
    },
    "mat": {"a.mat": save_mat(False), "b.mat": save_mat(True), "c.mat": save_mat73},
    "zarr": {"a.zarr": save_zarr(2), "b.zarr": save_zarr(3)},
}


def options_of(name: str) -> dict[str, Any]:
    """What the user says about a sample; files of The Well say all themselves."""
    return {} if name.endswith(".hdf5") else OPTIONS


def mutate(content: bytes, chance: random.Random) -> bytes:
    """One damaged copy. Half of the damage lies at the start and the end, where the headers are."""
    size = len(content)
    changed = bytearray(content)
    if size < 8:
        return bytes(chance.randbytes(chance.randrange(16)))

    def place() -> int:
        kind = chance.random()
        if kind < 0.4:
            return chance.randrange(min(size, 1024))
        if kind < 0.55:
            return size - 1 - chance.randrange(min(size, 512))
        return chance.randrange(size)

    match chance.randrange(6):
        case 0 | 1:
            for _ in range(chance.choice((1, 1, 2, 8))):
                changed[place()] ^= 1 << chance.randrange(8)
        case 2:
            del changed[place() :]
        case 3:
            start, length, target = place(), chance.randrange(1, 64), place()
            changed[target : target + length] = changed[start : start + length]
        case 4:
            start = place()
            if chance.random() < 0.5:
                del changed[start : start + chance.randrange(1, 64)]
            else:
                changed[start:start] = chance.randbytes(chance.randrange(1, 64))
        case _:
            order = chance.choice("<>")
            start = min(place() & ~3, size - 4)
            changed[start : start + 4] = struct.pack(f"{order}I", chance.choice(EXTREMES))
    return bytes(changed)


def write_samples(folder: Path) -> None:
    """Write the good files, below a folder a kind."""
    for kind, samples in SAMPLES.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, save in samples.items():
            if not (folder / kind / name).exists():
                save(folder / kind / name)


def write_mutant(samples: Path, kind: str, seed: int, number: int, out: Path) -> Path:
    """Write one damaged copy; the same arguments give the same bytes."""
    chance = random.Random(f"{kind} {seed} {number}")
    name = chance.choice(sorted(SAMPLES[kind]))
    source, path = samples / kind / name, out / f"{number:06}_{name}"
    if source.is_file():
        path.write_bytes(mutate(source.read_bytes(), chance))
        return path
    shutil.copytree(source, path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    metadata = [p for p in files if p.name.startswith((".z", "zarr"))]
    victim = chance.choice(metadata if chance.random() < 0.6 else files)
    if chance.random() < 0.05:
        victim.unlink()
    else:
        victim.write_bytes(mutate(victim.read_bytes(), chance))
    return path
