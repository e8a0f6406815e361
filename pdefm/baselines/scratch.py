"""A DPOT of the subject's own shape with new weights."""

from pdefm.baselines.base import Baseline, Built, Demands
from pdefm.train.study import fresh_model


class ScratchBaseline(Baseline):
    """What the evaluated model is without its pretraining.

    Same configuration, but for the fields and conditions that this dataset does not have.
    """

    name = "scratch"
    role = "the same model trained from scratch"
    learning_rate = 1e-2
    takes_conditions = True

    def build(self, demands: Demands) -> Built:
        """A model of the subject's configuration."""
        model = fresh_model(
            demands.subject,
            field_names=list(demands.field_names),
            conditions=list(demands.conditions),
        )
        return Built(model)
