"""WHICH weights move when a base is adapted."""

from pdefm.registry import Registry

TUNERS = Registry(
    "tuner",
    {
        "fourier": "pdefm.tuners.fourier:FourierTuner",
        "full": "pdefm.tuners.full:FullTuner",
        "head": "pdefm.tuners.head:HeadTuner",
        "lora": "pdefm.tuners.lora:LoraTuner",
        "spectral_refiner": "pdefm.tuners.spectral_refiner:SpectralRefinerTuner",
    },
)
