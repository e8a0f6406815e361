"""Networks that are trained on one dataset, as a model has to beat them there.

A new one is a file here with a subclass of :class:`~pdefm.baselines.base.Baseline`, and a line in
``BASELINES``; other packages add theirs through the entry point ``pdefm.baseline``.
"""

from pdefm.registry import Registry

BASELINES = Registry(
    "baseline",
    {
        "fno": "pdefm.baselines.fno:FNOBaseline",
        "unet": "pdefm.baselines.unet:UNetBaseline",
        "scratch": "pdefm.baselines.scratch:ScratchBaseline",
    },
)
