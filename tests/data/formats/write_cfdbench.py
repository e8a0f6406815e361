"""Small folders with the layout of CFDBench's interpolated data."""

import json
from pathlib import Path

import numpy as np

NUMBERS = {
    "cavity": {
        "vel_top": 10.0,
        "density": 1.0,
        "viscosity": 0.01,
        "height": 0.01,
        "width": 0.02,
        "rotated": False,
    },
    "tube": {"vel_in": 1.0, "density": 100.0, "viscosity": 0.1, "height": 0.1, "width": 1.0},
    "dam": {
        "case_no": 0.0,
        "velocity": 0.05,
        "density": 100.0,
        "viscosity": 0.1,
        "barrier_height": 0.1,
        "barrier_width": 0.2,
        "height": 0.4,
        "width": 1.5,
        "dx": 1.5 / 32,
        "dy": 0.4 / 24,
    },
    "cylinder": {
        "vel_in": 1.0,
        "density": 10.0,
        "viscosity": 0.001,
        "radius": 0.03,
        "x_min": -0.06,
        "x_max": 0.16,
        "y_min": -0.06,
        "y_max": 0.06,
    },
}


def solid(problem: str, num_y: int, num_x: int, centre: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Where the obstacle is, ``[y, x]``, by an independent loop over the cells."""
    numbers, found = NUMBERS[problem], np.zeros((num_y, num_x), bool)
    framed = problem == "cylinder"
    x0, y0 = (numbers["x_min"], numbers["y_min"]) if framed else (0.0, 0.0)
    width = numbers["x_max"] - x0 if framed else numbers["width"]
    height = numbers["y_max"] - y0 if framed else numbers["height"]
    for row in range(num_y):
        for column in range(num_x):
            x, y = x0 + (column + 0.5) * width / num_x, y0 + (row + 0.5) * height / num_y
            if framed:
                distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
                found[row, column] = distance <= numbers["radius"] ** 2
            elif problem == "dam":
                inside = 0.5 <= x <= 0.5 + numbers["barrier_width"]
                found[row, column] = inside and y <= numbers["barrier_height"]
    return found


def write_case(
    folder: Path,
    problem: str = "cavity",
    *,
    num_frames: int = 3,
    num_y: int = 24,
    num_x: int = 32,
    seed: int = 0,
    dtype: str = "float32",
    obstacle: np.ndarray | None = None,
    **numbers: object,
) -> Path:
    """One case: ``u.npy`` and ``v.npy`` of ``(time, height, width)``, and ``case.json``."""
    folder.mkdir(parents=True)
    wall = solid(problem, num_y, num_x) if obstacle is None else obstacle
    rng = np.random.default_rng(seed)
    for name in ("u", "v"):
        values = rng.normal(size=(num_frames, num_y, num_x)).astype(dtype)
        np.save(folder / f"{name}.npy", np.where(wall, 0, values).astype(dtype))
    (folder / "case.json").write_text(json.dumps(NUMBERS[problem] | numbers, indent=2))
    return folder


def write_cfdbench(path: Path) -> Path:
    """One case of the cavity, three frames of 8 x 8 points."""
    return write_case(path, num_y=8, num_x=8)
