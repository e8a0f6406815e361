"""WHICH weights move when a base is adapted."""

from pdefm.registry import Registry

TUNERS = Registry(
    "tuner",
    {
        "full": "pdefm.tuners.full:FullTuner",
        "lora": "pdefm.tuners.lora:LoraTuner",
    },
)
