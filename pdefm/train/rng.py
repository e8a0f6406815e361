"""State of every global random-number generator, one file per process.

Training draws from generators of its own that the seed and the step decide; what a model or a
library draws from the global ones goes on after a resume as if nothing had happened, too.
"""

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.errors import ModelError


def rng_path(folder: Path, rank: int) -> Path:
    """File of one process in ``state/``."""
    return folder / f"rng-{rank:05d}.pt"


def save_rng(folder: Path, rank: int) -> None:
    """Write the state of Python's, NumPy's and PyTorch's generators."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    torch.save(state, rng_path(folder, rank))


def load_rng(folder: Path, rank: int) -> None:
    """Put the state back.

    Raises:
        ModelError: The file is missing or unreadable, or was written on another kind of device.
    """
    path = rng_path(folder, rank)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        name, keys, position, has_gauss, gauss = state["numpy"]
        version, words, python_gauss = state["python"]
        random.setstate((version, tuple(words), python_gauss))
        np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, pickle.PickleError) as error:
        raise ModelError(
            f"process {rank} cannot restore its random-number state from {path}",
            got=str(error).partition("\n")[0] or type(error).__name__,
            do="Resume from an older checkpoint: move this one away",
        ) from error
