"""Token mixing on the latent grid: ``[batch, channel, *latent] -> [batch, channel, *latent]``."""

from pdefm.registry import Registry

MIXERS = Registry("mixer", {"afno": "pdefm.models.mixers.afno:AFNOMixer"})
