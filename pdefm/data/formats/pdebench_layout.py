"""What PDEBench's three kinds of files have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdefm.data.formats.hdf5_file import HdfNode, as_text
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, RecipeError
from pdefm.yaml_text import parse_yaml

UNIT = "dimensionless"  # PDEBench publishes none


class PDEBenchLayout(ABC):
    """Where one file keeps its trajectories; found once per process and never pickled.

    Args:
        file: Open file that :meth:`explain` says yes to.
        where: The file, for messages.

    Attributes:
        frame_counts: Number of frames of each trajectory.
        keys: Datasets of the fields, those of the first trajectory if each has its own.
    """

    frame_counts: Sequence[int]
    keys: Sequence[str]

    @abstractmethod
    def __init__(self, file: HdfNode, where: str) -> None: ...

    @classmethod
    @abstractmethod
    def explain(cls, file: HdfNode) -> str | None:
        """Why the file has this layout; ``None`` if it has not."""

    @abstractmethod
    def read(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory as the file describes them."""


def first_times(stored: np.ndarray, num_frames: int, where: str) -> np.ndarray:
    """Times of the frames, float64: published files hold one entry more than frames.

    Raises:
        DataError: Fewer times than frames.
    """
    if stored.ndim != 1 or len(stored) < num_frames:
        raise DataError(
            f"{where}: {num_frames} frames need as many times",
            got=list(stored.shape),
            do="Check the file, or read it with --format arrays and --axes",
        )
    return stored[:num_frames].astype(np.float64)


def numbers_of(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Attributes that are one number each, also those written as text such as ``1.e-8``."""
    found: dict[str, float] = {}
    for name, value in attributes.items():
        try:
            found[name] = float(value if np.ndim(value) == 0 else np.asarray(value).item())
        except (TypeError, ValueError):  # a word or a list, which is no parameter
            continue
    return found


def read_config(attributes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The YAML text that PDEBench's generators leave as ``config``; empty if there is none.

    Raises:
        DataError: Not valid YAML.
    """
    if "config" not in attributes:
        return {}
    try:
        return parse_yaml(as_text(attributes["config"]), f"{where}: config")
    except (RecipeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where}: the attribute config is damaged", got=error, do="Download the file again"
        ) from error
