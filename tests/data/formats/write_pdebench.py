"""Small files in the layouts of PDEBench: same keys, types, storage and attributes."""

from pathlib import Path

import h5py
import numpy as np


def cell_centres(low: float, high: float, num_points: int) -> np.ndarray:
    """Centres of equal cells, as float32."""
    return (low + (np.arange(num_points) + 0.5) * (high - low) / num_points).astype(np.float32)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, as float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_pdebench_flat(
    path: Path,
    arrays: dict[str, np.ndarray],
    attributes: dict[str, object],
    sides: dict[str, tuple[float, float]],
    *,
    num_frames: int,
    dt: float = 0.05,
    space: tuple[int, ...],
) -> Path:
    """Flat keys, contiguous float32; the times have one entry more than there are frames."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values.astype(np.float32)
        for (name, (low, high)), num_points in zip(sides.items(), space, strict=True):
            file[f"{name}-coordinate"] = cell_centres(low, high, num_points)
        if num_frames > 1:
            file["t-coordinate"] = (np.arange(num_frames + 1) * dt).astype(np.float32)
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def write_pdebench_gas(
    path: Path,
    *,
    num: int = 2,
    num_frames: int = 3,
    space: tuple[int, ...] = (8, 8),
    attributes: dict[str, object] | None = None,
    batched: bool = True,
) -> Path:
    """Compressible flow in one to three dimensions; the file's keys are in alphabetical order."""
    low = -1.0 if len(space) == 1 else 0.0
    keys = ("density", "pressure", *("Vx", "Vy", "Vz")[: len(space)])
    leading = (num, num_frames) if batched else (num_frames,)
    arrays = {key: random(*leading, *space, seed=i) for i, key in enumerate(keys)}
    given = {"eta": 0.01, "zeta": 0.02} | ({"M": 0.1} if len(space) > 1 else {})
    sides = {name: (low, 1.0) for name in "xyz"[: len(space)]}
    return write_pdebench_flat(
        path, arrays, given if attributes is None else attributes, sides,
        num_frames=num_frames, space=space,
    )  # fmt: skip


def write_pdebench_tensor(
    path: Path,
    attributes: dict[str, object],
    *,
    num: int = 2,
    num_frames: int = 4,
    num_points: int = 16,
    low: float = 0.0,
    batched: bool = True,
) -> Path:
    """Advection, Burgers and reaction-diffusion, which only their attributes tell apart."""
    leading = (num, num_frames) if batched else (num_frames,)
    return write_pdebench_flat(
        path, {"tensor": random(*leading, num_points)}, attributes, {"x": (low, 1.0)},
        num_frames=num_frames, dt=0.01, space=(num_points,),
    )  # fmt: skip


def write_pdebench_darcy(path: Path, *, num: int = 2, num_points: int = 8) -> Path:
    """Solution ``tensor`` with one frame, coefficient ``nu`` without a time axis."""
    space = (num_points, num_points)
    coefficient = np.where(random(num, *space, seed=1) > 0, 1.0, 0.1)
    return write_pdebench_flat(
        path, {"nu": coefficient, "tensor": random(num, 1, *space)}, {"beta": 10.0},
        {"x": (0.0, 1.0), "y": (0.0, 1.0)}, num_frames=1, space=space,
    )  # fmt: skip


CONFIGS = {
    "diff-react": """name: 2d_diff-react
sim:
  Du: 0.001
  Dv: 0.005
  k: 0.005
  t: 5
  tdim: 101
  x_left: -1.0
  seed: {seed}
""",
    "rdb": """name: 2d_rdb
work_dir: ${{hydra:runtime.cwd}}
sim:
  T_end: 1.0
  gravity: 1.0
  dam_radius: 0.{seed}
  inner_height: 2.0
  seed: {seed}
""",
    "diff-sorp": """name: 1d_diff-sorp
sim:
  D: 0.0005
  por: 0.29
  rho_s: 2880
  k_f: 0.00035
  n_f: 0.874
  sol: 1.0
  seed: {seed}
""",
}
SIDES = {"diff-react": (-1.0, 1.0, 5.0), "rdb": (-2.5, 2.5, 1.0), "diff-sorp": (0.0, 1.0, 500.0)}


def write_pdebench_groups(
    path: Path,
    equation: str,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    num_frames: int = 4,
    num_x: int = 8,
    num_y: int = 6,
    config: str | None = "published",
) -> Path:
    """A group a seed; diffusion-reaction is stored (t, y, x, c), the dam break (t, x, y, c)."""
    low, high, end = SIDES[equation]
    shape = {"diff-react": (num_y, num_x, 2), "rdb": (num_x, num_y, 1), "diff-sorp": (num_x, 1)}
    packed = {} if equation == "rdb" else {"compression": "lzf"}
    with h5py.File(path, "w") as file:
        for seed in seeds:
            group = file.create_group(f"{seed:04d}")
            values = random(num_frames, *shape[equation], seed=seed)
            group.create_dataset("data", data=values, dtype="f", **packed)
            group["grid/x"] = cell_centres(low, high, num_x)
            if equation != "diff-sorp":
                group["grid/y"] = cell_centres(low, high, num_y)
            group["grid/t"] = np.linspace(0, end, num_frames).astype(np.float32)
            if config is not None:
                text = CONFIGS[equation] if config == "published" else config
                group.attrs["config"] = text.format(seed=seed)
    return path


def write_pdebench_incompressible(
    path: Path,
    *,
    num: int = 2,
    num_frames: int = 6,
    space: tuple[int, int] = (8, 6),
    latest: int | None = 5,
    config: str = "domain_size:\n- 1\n- 1\nNU: 0.01\nvelocity_extrapolation: ZERO\n",
) -> Path:
    """Chunks of one frame, lzf and shuffle; frames after ``latest`` are zeros, as are times."""
    written = num_frames if latest is None else latest + 1
    shapes = {"velocity": (num_frames, *space, 2), "particles": (num_frames, *space, 1)}
    shapes |= {"force": (*space, 2), "t": (num_frames,)}
    with h5py.File(path, "w") as file:
        for seed, (key, shape) in enumerate(shapes.items()):
            data = file.create_dataset(
                key, (num, *shape), "f4", chunks=(1, 1, *shape[1:]), compression="lzf", shuffle=True
            )
            stop = slice(None) if key == "force" else slice(0, written)
            values = random(num, *shape, seed=seed)
            if key == "t":
                values[:] = np.arange(num_frames) * 0.005
            data[:, stop] = values[:, stop]
        file.attrs["config"] = config
        if latest is not None:
            file.attrs["latestIndex"] = latest
    return path
