"""Fields have names: any subset, any order, and newcomers that leave the others alone."""

import pytest
import torch
from transformers import AutoModel

from pdefm.errors import ModelError
from tests.tiny_dpot import NAMES, frames, tiny_model

THREE = ["density", "pressure", "velocity_x"]


def test_permuted_fields_permute_the_output():
    model, history = tiny_model(field_names=THREE), frames(3)
    expected = model(history, THREE).prediction
    order = [2, 0, 1]
    prediction = model(history[:, :, order], tuple(THREE[i] for i in order)).prediction
    torch.testing.assert_close(prediction, expected[:, :, order])
    other = model(history[:, :, order], THREE).prediction
    assert (other - prediction).norm() > 1e-2 * prediction.norm()
    with torch.no_grad():  # fields with the same weights have no names
        for weight in (model.patch_embedding.field_weight, model.decoder.field_weight):
            weight[:] = weight[:1].clone()
        model.decoder.field_bias[:] = model.decoder.field_bias[:1].clone()
    prediction = model(history[:, :, order], [THREE[i] for i in order]).prediction
    assert torch.equal(model(history[:, :, order], THREE).prediction, prediction)


def test_names_left_out_are_the_vocabulary_in_order():
    model, history = tiny_model(), frames()
    assert torch.equal(model(history).prediction, model(history, list(NAMES)).prediction)


def test_a_subset_gives_what_a_model_of_only_these_fields_gives():
    model, history = tiny_model(field_names=THREE), frames(2)
    small = tiny_model(field_names=["velocity_x", "density"])
    state = model.state_dict()
    for name in ("patch_embedding.field_weight", "decoder.field_weight", "decoder.field_bias"):
        state[name] = state[name][[2, 0]]
    small.load_state_dict(state)
    prediction = model(history, ("velocity_x", "density")).prediction
    assert torch.equal(prediction, small(history).prediction)


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(ModelError) as caught:
        tiny_model()(frames(), ["density", "presure"])
    text = str(caught.value)
    assert "got 'presure'. Did you mean 'pressure'? Known: density, pressure" in text
    assert "add_fields" in text
    assert "\n" not in text


def test_a_field_named_twice_is_refused():
    with pytest.raises(ModelError, match="Name every channel once"):
        tiny_model()(frames(), ["density", "density"])


@pytest.mark.parametrize("like", [None, "pressure"])
def test_a_new_field_leaves_the_output_of_the_others_bit_unchanged(like):
    model, history = tiny_model(horizon=2), frames()
    expected = model(history).prediction
    model.add_fields({"phase": like})
    assert model.config.field_names == [*NAMES, "phase"]
    assert torch.equal(model(history, list(NAMES)).prediction, expected)


def test_a_new_field_starts_from_the_weights_of_the_one_it_is_like():
    model, history = tiny_model(), frames(1)
    expected = model(history, ["pressure"]).prediction
    model.add_fields({"phase": "pressure", "charge": "density"})
    assert torch.equal(model(history, ["phase"]).prediction, expected)
    assert not torch.equal(model(history, ["charge"]).prediction, expected)


def test_a_new_field_without_likeness_starts_at_zero():
    model, history = tiny_model(), frames(1)
    model.add_fields({"phase": None})
    prediction = model(history, ["phase"]).prediction
    assert torch.equal(prediction, history[:, -1:])
    prediction.square().sum().backward()
    assert model.decoder.field_weight.grad[2].any()  # it can learn


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"phase": None, "density": None}, "field is known already: got density"),
        ({"phase": "presure"}, "Did you mean 'pressure'"),
    ],
)
def test_a_wrong_new_field_is_refused_and_changes_nothing(new, message):
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        model.add_fields(new)
    assert model.config.field_names == list(NAMES)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_new_fields_is_nothing_to_do():
    model = tiny_model()
    model.add_fields({})
    assert model.config.field_names == list(NAMES)
    assert model(frames()).prediction.isfinite().all()


def test_a_frozen_model_stays_frozen_when_it_grows():
    model = tiny_model().requires_grad_(False)
    model.add_fields({"phase": "density"})
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_grown_model_is_saved_with_its_new_fields(tmp_path):
    model, history = tiny_model(), frames(3)
    model.add_fields({"phase": "density"})
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.config.field_names == [*NAMES, "phase"]
    assert torch.equal(loaded(history).prediction, model(history).prediction)


@pytest.mark.parametrize("changes", [{}, {"instance_normalization": True}])
def test_dropping_fields_changes_nothing_for_the_others(changes):
    model, history = tiny_model(**changes), frames(1)
    model.add_fields({"phase": "density"})
    expected = model(history, ["pressure"]).prediction
    model.drop_fields(["density", "phase"])
    assert model.config.field_names == ["pressure"]
    assert torch.equal(model(history).prediction, expected)
    with pytest.raises(ModelError, match="unknown field name: got 'density'"):
        model(history, ["density"])


def test_the_last_field_and_an_unknown_one_cannot_be_dropped():
    model = tiny_model()
    for names, message in (
        (NAMES, "at least one field"),
        (["presure"], "Did you mean 'pressure'"),
    ):
        with pytest.raises(ModelError, match=message):
            model.drop_fields(list(names))
    assert model.config.field_names == list(NAMES)
