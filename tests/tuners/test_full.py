"""Full fine-tuning: everything moves, and everything is stored."""

import pytest
import torch

from pdefm.errors import ModelError
from pdefm.tuners.base import trainable_share
from pdefm.tuners.full import FullOptions, FullTuner
from tests.tiny_dpot import frames, tiny_model


def tuner():
    return FullTuner(FullOptions())


def test_every_weight_trains():
    model = tuner().apply(tiny_model().requires_grad_(False))
    trainable, total = trainable_share(model)
    assert trainable == total == sum(p.numel() for p in tiny_model().parameters())


def test_the_state_is_the_whole_model_and_comes_back():
    trained, fresh = tuner().apply(tiny_model(seed=1)), tuner().apply(tiny_model(seed=2))
    state = {name: tensor.clone() for name, tensor in tuner().state(trained).items()}
    assert state.keys() == tiny_model().state_dict().keys()
    tuner().load_state(fresh, state)
    assert torch.equal(fresh(frames()).prediction, trained(frames()).prediction)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda state: state.pop("decoder.field_bias"), "decoder.field_bias"),
        (lambda state: state.update(bogus=torch.zeros(1)), "bogus"),
        (
            lambda state: state.update({"decoder.field_bias": torch.zeros(5, 1)}),
            "decoder.field_bias",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(edit, named):
    model = tuner().apply(tiny_model())
    state = dict(tuner().state(model))
    edit(state)
    with pytest.raises(ModelError, match="do not fit the base") as caught:
        tuner().load_state(model, state)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
