"""Fields that come, go and stay; what stays is predicted as before."""

import pytest
import torch

from pdefm.adapters import Adapter, BaseReference
from pdefm.errors import ModelError
from pdefm.tasks.new_physics import NewPhysicsOptions, NewPhysicsTask
from tests.tiny_dpot import NAMES, frames, tiny_model, tiny_processor


def task(**options):
    return NewPhysicsTask(tiny_processor(), NewPhysicsOptions(**options))


def adapted(plan, tuner="full"):
    adapter = Adapter(
        BaseReference("base", "0"),
        "new_physics",
        tuner,
        added_fields=plan.added,
        dropped_fields=plan.dropped,
    )
    return adapter.attach(tiny_model()).eval()


@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_old_fields_are_predicted_as_before_beside_a_new_one(tuner):
    plan = task().field_plan(NAMES, [*NAMES, "phase"], {})
    history = frames(3)
    found = adapted(plan, tuner)(history, [*NAMES, "phase"]).prediction
    expected = tiny_model()(history[:, :, :2]).prediction
    torch.testing.assert_close(found[:, :, :2], expected, rtol=0, atol=1e-6)
    assert torch.equal(found[:, :, 2], history[:, -1:, 2])  # a new one is forecast to stay


def test_a_field_that_the_data_lack_is_dropped_and_the_others_stay():
    plan = task().field_plan(NAMES, ["pressure", "phase"], {})
    model = adapted(plan)
    assert model.config.field_names == ["pressure", "phase"]
    history = frames(1)
    expected = tiny_model()(history, ["pressure"]).prediction
    assert torch.equal(model(history, ["pressure"]).prediction, expected)


def test_the_difference_is_told_a_line_a_field():
    plan = task().field_plan(NAMES, ["pressure", "phase", "salt"], {"salt": "density"})
    assert plan.lines() == [
        "+ phase (from zero)",
        "+ salt (from density)",
        "- density",
        "= pressure",
    ]


def test_what_the_data_lack_can_be_kept():
    plan = task(drop_missing=False).field_plan(NAMES, ["pressure"], {})
    assert plan.dropped == []
    assert plan.kept == list(NAMES)


def test_data_that_share_nothing_with_the_base_need_a_start():
    with pytest.raises(ModelError, match="--add-field phase=density"):
        task().field_plan(NAMES, ["phase"], {})
    assert task().field_plan(NAMES, ["phase"], {"phase": "density"}).dropped == list(NAMES)


def test_a_field_to_add_must_be_in_the_data():
    with pytest.raises(ModelError, match="'phase'"):
        task().field_plan(NAMES, ["pressure"], {"phase": None})
