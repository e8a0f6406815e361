"""What can be wrong with data: one file a theme and one line here.

A check is a ``Check`` that is shown every trajectory once, a few frames at a time. Its ``codes``
say what it may find; the README of this folder's parent lists them all.
"""

from pdefm.registry import Registry

CHECKS = Registry(
    "check",
    {
        "values": "pdefm.data.checks.values:ValuesCheck",
        "duplicates": "pdefm.data.checks.duplicates:DuplicatesCheck",
        "times": "pdefm.data.checks.times:TimesCheck",
        "changes": "pdefm.data.checks.changes:ChangesCheck",
        "scales": "pdefm.data.checks.scales:ScalesCheck",
        "boundary": "pdefm.data.checks.boundary:BoundaryCheck",
        "divergence": "pdefm.data.checks.divergence:DivergenceCheck",
        "conservation": "pdefm.data.checks.conservation:ConservationCheck",
        "spectrum": "pdefm.data.checks.spectrum:SpectrumCheck",
        "fit": "pdefm.data.checks.fit:FitCheck",
        "storage": "pdefm.data.checks.storage:StorageCheck",
    },
)
