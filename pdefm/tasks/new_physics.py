"""New physics: forecasting of data whose fields are not those of the base."""

from collections.abc import Sequence
from typing import cast

from pdefm.errors import ModelError
from pdefm.tasks.base import FieldPlan, refuse_absent
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask


class NewPhysicsOptions(ForecastingOptions):
    """Options of the new-physics task: those of forecasting, and what becomes of the fields."""

    drop_missing: bool = True
    """Forget the base's fields that the data lack; the adapter then answers for the data's fields
    alone."""


class NewPhysicsTask(ForecastingTask):
    r"""Predict ``horizon`` frames of fields that the base knows in part.

    Each field owns its slices of the embedding and of the decoder. A new field's start from zero,
    so that at first it does not touch the prediction of the others, and it is forecast to stay; a
    missing field's slices are left out, which changes nothing for the others either.

    Loss: that of forecasting, ``||u_hat - u|| / ||u||``.

    Source: DPOT (arXiv 2403.03542), section 4.1, for the training; the fields by name are ours.
    """

    name = "new_physics"
    options_class = NewPhysicsOptions

    def field_plan(
        self, known: Sequence[str], found: Sequence[str], given: dict[str, str | None]
    ) -> FieldPlan:
        """Which fields come, go and stay.

        Args:
            known: The base's fields.
            found: The data's fields.
            given: Where named new fields start from; the others start from zero.

        Raises:
            ModelError: The data share no field with the base, or a given field is not there.
        """
        refuse_absent(found, given)
        new = {name: given.get(name) for name in found if name not in known}
        absent = [name for name in known if name not in found]
        dropped = absent if cast(NewPhysicsOptions, self.options).drop_missing else []
        kept = [name for name in known if name not in dropped]
        if len(absent) == len(known) and not any(new.values()):
            raise ModelError(
                "the data share no field with the base, so nothing that it learnt can be used",
                got=", ".join(found),
                do=f"Start a field from a known one, as --add-field {found[0]}={known[0]}",
            )
        return FieldPlan(new, dropped, kept)
