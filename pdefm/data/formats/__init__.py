"""How published bytes become trajectories: one file and one line a format.

A format is a ``TrajectoryCollection`` made from ``(path, description)`` for one file, or, if its
class says ``folders = True``, for a folder as a whole. It has a docstring, ``suffixes`` (which
files of a folder are its own) and a class method ``recognise(path) -> str | None`` that says from
the content why it is this format. The table is asked from top to bottom, so ``arrays``, which takes
any numbers, is last.
"""

from pdefm.registry import Registry

FORMATS = Registry(
    "format",
    {
        "well": "pdefm.data.formats.well:WellFile",
        "poseidon": "pdefm.data.formats.poseidon:PoseidonData",
        "cfdbench": "pdefm.data.formats.cfdbench:CfdBenchData",
        "pdebench": "pdefm.data.formats.pdebench:PDEBenchFile",
        "pdearena": "pdefm.data.formats.pdearena:PDEArena",
        "condiff": "pdefm.data.formats.condiff:ConDiffFile",
        "fno_mat": "pdefm.data.formats.fno_mat:FnoMatFile",
        "dpot": "pdefm.data.formats.dpot:DpotData",
        "pde": "pdefm.data.formats.pde:PdeSource",
        "hub": "pdefm.data.formats.hub:HubDataset",
        "arrays": "pdefm.data.formats.arrays:ArrayFile",
    },
)
