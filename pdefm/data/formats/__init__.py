"""How published bytes become trajectories: one file and one line a format.

A format is a ``TrajectoryCollection`` made from ``(path, description)`` for one file. It has a
docstring, ``suffixes`` (which files of a folder are its own) and a class method
``recognise(path) -> str | None`` that says from the file's content why it is this format.
"""

from pdefm.registry import Registry

FORMATS = Registry(
    "format",
    {
        "well": "pdefm.data.formats.well:WellFile",
        "arrays": "pdefm.data.formats.arrays:ArrayFile",
    },
)
