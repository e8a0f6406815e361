"""All files that are made to harm."""

from tests.faults import hostile_arrays, hostile_hdf5, hostile_places  # noqa: F401
from tests.faults.hostile_table import HOSTILE, Make, RunsCode

__all__ = ["HOSTILE", "Make", "RunsCode"]
