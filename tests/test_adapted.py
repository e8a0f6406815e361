"""Several adapters on one base: each as if it were alone, and the base untouched."""

import pytest
import torch

import pdefm
from pdefm.adapters import attach_adapter
from pdefm.errors import ModelError
from pdefm.models.loading import load_model, save_model, weights_sha256
from pdefm.tuners import TUNERS
from tests.test_adapters import THREE, make_adapter
from tests.tiny_dpot import frames, tiny_model, tiny_processor

every_tuner = pytest.mark.parametrize("tuner", sorted(TUNERS))


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.fixture
def folders(tmp_path):
    make_adapter(tmp_path / "one", tuner="lora")
    make_adapter(tmp_path / "two", tuner="full", added={})
    return tmp_path / "one", tmp_path / "two"


def test_swapped_adapters_answer_as_each_does_alone(folders):
    base = tiny_model()
    model = pdefm.load_adapter(base, folders[0])
    assert pdefm.load_adapter(model, folders[1], name="second") is model
    expected = [attach_adapter(tiny_model(), folder)[0] for folder in folders]
    for name, alone in (("one", expected[0]), ("second", expected[1]), ("one", expected[0])):
        model.set_adapter(name)
        assert torch.equal(
            model(frames(), ["density", "pressure"]).prediction,
            alone(frames(), ["density", "pressure"]).prediction,
        )
    model.set_adapter(None)
    assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)


@every_tuner
def test_the_base_keeps_every_bit_while_and_after_an_adapter_is_there(tmp_path, tuner):
    make_adapter(tmp_path / "one", tuner=tuner)
    base = tiny_model()
    before, trains = bits(base), [p.requires_grad for p in base.parameters()]
    model = pdefm.load_adapter(base, tmp_path / "one")
    model(frames(3), list(THREE))
    assert same(bits(base), before)
    model.delete_adapter("one")
    assert same(bits(base), before)
    assert [p.requires_grad for p in base.parameters()] == trains
    assert base.config.field_names == tiny_model().config.field_names
    assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)


@every_tuner
def test_merged_it_is_a_plain_model_that_predicts_the_same(tmp_path, tuner):
    make_adapter(tmp_path / "one", tuner=tuner)
    base = tiny_model()
    model = pdefm.load_adapter(base, tmp_path / "one")
    expected = model(frames(3), list(THREE)).prediction
    if tuner not in ("full", "head", "lora"):
        try:
            merged = model.merge()
        except ModelError as error:
            assert "cannot be merged" in str(error)  # noqa: PT017
            return
    merged = model.merge()
    (tmp_path / "merged").mkdir()
    save_model(tmp_path / "merged", merged, tiny_processor(THREE))
    loaded, _ = load_model(tmp_path / "merged")
    torch.testing.assert_close(loaded(frames(3), list(THREE)).prediction, expected)
    assert torch.equal(model(frames(3), list(THREE)).prediction, expected)
    assert same(bits(base), bits(tiny_model()))


def test_an_adapter_of_few_weights_shares_the_rest_with_the_base(folders):
    model = pdefm.load_adapter(tiny_model(), folders[0])
    whole = sum(p.numel() * p.element_size() for p in model.base.parameters())
    assert 0 < model.memory()["one"] < whole


def test_another_base_is_one_line_with_both_hashes(folders):
    other = tiny_model(seed=4)
    with pytest.raises(ModelError) as caught:
        pdefm.load_adapter(other, folders[0])
    text = str(caught.value)
    assert "\n" not in text
    assert weights_sha256(tiny_model())[:12] in text
    assert weights_sha256(other)[:12] in text


def test_an_unknown_or_taken_name_is_one_line(folders):
    model = pdefm.load_adapter(tiny_model(), folders[0])
    with pytest.raises(ModelError, match=r"no adapter 'onne' is loaded\. Did you mean 'one'"):
        model.set_adapter("onne")
    with pytest.raises(ModelError, match="'one' is loaded already"):
        pdefm.load_adapter(model, folders[0], name="one")
    assert adapter_names(pdefm.load_adapter(model, folders[0])) == ["one", "one_2"]


def adapter_names(model):
    return sorted(model.adapters)
