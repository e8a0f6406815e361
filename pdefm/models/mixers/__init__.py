"""Token mixing on the latent grid: ``[batch, *latent, channel] -> [batch, *latent, channel]``.

A mixer is built from a configuration, takes one to three latent axes of any length, keeps the dtype
and never looks at another sample. Its parameters are real and have at most three axes (ZeRO
cannot flatten complex ones, PEFT targets no others); ``initialize()`` sets them all.
``linear_names`` and ``matrix_names`` name its linear layers and its stacks of matrices, which
low-rank tuners change.
"""

from pdefm.registry import Registry

MIXERS = Registry(
    "mixer",
    {
        "afno": "pdefm.models.mixers.afno:AFNOMixer",
        "fno": "pdefm.models.mixers.fno:FNOMixer",
        "axial_attention": "pdefm.models.mixers.axial_attention:AxialAttentionMixer",
    },
)
