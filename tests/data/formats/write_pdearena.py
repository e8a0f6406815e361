"""Small files in the layouts of PDEArena: same keys, types, storage and attributes."""

from pathlib import Path

import h5py
import numpy as np


def write_pdearena_smoke(
    path: Path,
    *,
    split: str = "train",
    num: int = 2,
    num_frames: int = 3,
    space: tuple[int, int] = (8, 8),
    buoyancy: float = 0.5,
    dt: float = 6.0,
    seed: int = 0,
) -> Path:
    """Float64 and contiguous; ``t``, ``x`` and ``y`` are spread to the last entry."""
    random = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        group = file.create_group(split)
        for key in ("u", "vx", "vy"):
            group.create_dataset(key, (num, num_frames, *space), dtype=float)
            group[key][...] = random.normal(size=(num, num_frames, *space))
        group["t"] = np.tile(np.linspace(18.0, 18.0 + dt * num_frames, num_frames), (num, 1))
        group["dt"] = np.full(num, dt)
        for name, num_points in zip("xy", space, strict=True):
            group[name] = np.tile(np.linspace(0.0, 32.0, num_points), (num, 1))
            group[f"d{name}"] = np.full(num, 32.0 / (num_points - 1))
        group["buo_y"] = np.full(num, buoyancy)
    return path


def write_pdearena_weather(
    path: Path,
    *,
    num_frames: int = 6,
    num_lat: int = 6,
    num_lon: int = 12,
    num_lev: int = 1,
    south_first: bool = False,
    seed: int = 0,
) -> Path:
    """One run as NetCDF-4: named dimensions, one level, latitudes from north to south."""
    random = np.random.default_rng(seed)
    north_to_south = 90.0 - (np.arange(num_lat) + 0.5) * 180.0 / num_lat
    scales = {
        "time": np.arange(num_frames) * 6.0,
        "lev": np.arange(num_lev) + 1.0,
        "lat": (north_to_south[::-1] if south_first else north_to_south).astype(np.float32),
        "lon": (np.arange(num_lon) * 360.0 / num_lon).astype(np.float32),
    }
    units = {"u": "m/s", "v": "m/s", "vor": "1/s", "div": "1/s", "pres": "hPa"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in scales.items():
            longest = (None,) if name == "time" else values.shape
            file.create_dataset(name, data=values, maxshape=longest).make_scale(name)
        file["time"].attrs["units"] = "hours since 2000-01-01 00:00:0.0"
        for key, unit in units.items():
            dims = ("time", "lat", "lon") if key == "pres" else ("time", "lev", "lat", "lon")
            shape = tuple(len(scales[name]) for name in dims)
            values = random.normal(size=shape).astype(np.float32)
            data = file.create_dataset(
                key, data=values, chunks=(1, *shape[1:]), compression=3, shuffle=True,
                maxshape=(None, *shape[1:]),
            )  # fmt: skip
            data.attrs["units"] = unit
            for position, name in enumerate(dims):
                data.dims[position].attach_scale(file[name])
    return path
