"""Windows read per second of CPU time: python scripts/bench_data.py.

200 trajectories of 20 frames of 4 fields on 64 x 64 (262 MB), 11-frame windows at random places,
page cache warm, one thread: from our own layout, from gzip HDF5 with h5py's automatic chunks as a
naive loader reads it (whole trajectory, then a slice) and as pdefm reads it, and from its
conversion.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from pdefm.data.convert import Conversion
from pdefm.data.formats.well_writer import write_well
from pdefm.data.mixture import Mixture, MixtureSource
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.data.windows import WindowIndex
from pdefm.domain import Grid

NAMES = ("density", "pressure", "velocity_x", "velocity_y")
LENGTH = 11


def per_cpu_second(read: Callable[[int, int], object], places: list[tuple[int, int]]) -> float:
    """Windows per second of CPU time, the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        before = time.process_time()
        for index, start in places:
            read(index, start)
        best = min(best, time.process_time() - before)
    return len(places) / best


def write_samples(folder: Path, count: int, generator: torch.Generator) -> tuple[Path, Path]:
    """The same random fields in our layout and as compressed HDF5."""
    fields = torch.randn(count, 20, 4, 64, 64, generator=generator)
    trajectories = [
        Trajectory(f, NAMES, Grid.regular((64, 64)), torch.arange(20.0)) for f in fields
    ]
    ours = write_well(folder / "ours.hdf5", trajectories, "bench")
    packed = folder / "packed.h5"
    with h5py.File(packed, "w") as file:
        file.create_dataset("fields", data=fields.movedim(2, -1).numpy(), compression="gzip")
    return ours, packed


def naive_reader(path: Path) -> Callable[[int, int], np.ndarray]:
    """What is often written: the file is open, a whole trajectory is read, a window is cut."""
    file = h5py.File(path)

    def read(index: int, start: int) -> np.ndarray:
        trajectory = file["fields"][index]
        return np.ascontiguousarray(trajectory[start : start + LENGTH].transpose(0, 3, 1, 2))

    return read


def main() -> None:
    """Write the files, read them, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trajectories", type=int, default=200)
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    count = options.trajectories
    places = [(int(rng.integers(count)), int(rng.integers(10))) for _ in range(options.windows)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = torch.Generator().manual_seed(options.seed)
        ours, packed = write_samples(folder, count, generator)
        said = {"axes": "N T X Y C", "names": ",".join(NAMES)}
        Conversion(packed, folder / "converted", format="arrays", **said).run()
        readers = {
            "our layout": open_trajectories(ours),
            "converted": open_trajectories(folder / "converted"),
            "gzip, automatic chunks, pdefm": open_trajectories(packed, "arrays", **said),
        }
        few = places[: max(20, options.windows // 100)]
        rates = {"gzip, automatic chunks, naive": per_cpu_second(naive_reader(packed), few)}
        for title, collection in readers.items():
            chosen = few if title.startswith("gzip") else places

            def read(index: int, start: int, collection=collection) -> object:  # noqa: ANN001
                return collection.read(index, start, start + LENGTH)

            rates[title] = per_cpu_second(read, chosen)
        windows = WindowIndex([20] * count, history=10, horizon=1)
        source = MixtureSource("ours", readers["our layout"], (windows,))
        mixture = Mixture([source], history=10, micro_batch_size=8)
        steps = [(step, 0) for step in range(options.windows // 8)]
        rates["our layout, batches of 8"] = 8 * per_cpu_second(mixture.load, steps)
    slowest = rates["gzip, automatic chunks, naive"]
    print(f"{'read':<34}{'windows per CPU-second':>24}{'ratio':>8}")
    for title, rate in rates.items():
        print(f"{title:<34}{rate:>24.0f}{rate / slowest:>8.1f}")


if __name__ == "__main__":
    main()
