"""Adapter folders: everything comes back, on the base that it belongs to and on no other."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from pdefm.adapters import Adapter, BaseReference, attach_adapter, read_adapter, save_adapter
from pdefm.errors import ModelError, RecipeError
from pdefm.models.loading import weights_sha256
from pdefm.tuners import TUNERS
from tests.tiny_dpot import NAMES, frames, randomize, tiny_model, tiny_processor

THREE = (*NAMES, "phase")


def make_adapter(folder, tuner="lora", added=None):
    """Train (well, shuffle) an adapter, save it, and return the adapted model."""
    folder.mkdir()
    base = tiny_model()
    adapter = Adapter(
        base=BaseReference("someone/base", weights_sha256(base), "v1"),
        task="forecasting",
        tuner=tuner,
        tuner_options={"r": 2} if tuner == "lora" else {},
        added_fields={"phase": "density"} if added is None else added,
        recipe={"train": {"max_steps": 3}},
    )
    model = adapter.attach(base).eval()
    randomize(model, 9, trainable_only=True)
    save_adapter(folder, adapter, model, tiny_processor(THREE))
    return adapter, model


def refusal(folder, base=None) -> str:
    base = tiny_model() if base is None else base
    before = weights_sha256(base)
    with pytest.raises(ModelError) as caught:
        attach_adapter(base, folder)
    assert "\n" not in str(caught.value)
    assert weights_sha256(base) == before
    return str(caught.value)


def edit_config(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("tuner", sorted(TUNERS))
@pytest.mark.parametrize("added", [{}, {"phase": "density"}, {"phase": None}], ids=str)
def test_a_saved_adapter_gives_the_same_bits(tmp_path, tuner, added):
    adapter, model = make_adapter(tmp_path / "adapter", tuner, added)
    assert read_adapter(tmp_path / "adapter") == adapter
    base = tiny_model()
    loaded, processor = attach_adapter(base, tmp_path / "adapter")
    names = list(NAMES) + list(added)
    history = frames(len(names))
    assert not loaded.training
    assert torch.equal(loaded(history, names).prediction, model(history, names).prediction)
    assert not torch.equal(
        loaded(history[:, :, :2], list(NAMES)).prediction,
        tiny_model()(history[:, :, :2]).prediction,
    )
    assert processor.fields == tiny_processor(THREE).fields


def test_the_folder_is_what_a_user_publishes_and_small(tmp_path):
    make_adapter(tmp_path / "adapter")
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "processor_config.json",
    ]
    content = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert content["base"] == {
        "name": "someone/base",
        "revision": "v1",
        "sha256": weights_sha256(tiny_model()),
    }
    assert content["base_model_name_or_path"] == "someone/base"
    assert content["peft_type"] == "LORA"


def test_peft_itself_loads_the_folder_onto_the_base_with_its_new_fields(tmp_path):
    from peft import PeftModel

    _, model = make_adapter(tmp_path / "adapter")
    base = tiny_model()
    base.add_fields({"phase": "density"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names our own keys, which it skips
        theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    assert torch.equal(theirs(frames(3)).prediction, model(frames(3)).prediction)


def test_another_base_is_refused_with_both_hashes(tmp_path):
    make_adapter(tmp_path / "adapter")
    other = tiny_model(seed=4)
    text = refusal(tmp_path / "adapter", other)
    assert weights_sha256(tiny_model())[:12] in text
    assert weights_sha256(other)[:12] in text
    assert "someone/base" in text


def test_a_base_with_one_flipped_bit_is_refused(tmp_path):
    make_adapter(tmp_path / "adapter")
    base = tiny_model()
    base.layers[1].fc2.weight.data.view(torch.int32)[0, 0] ^= 1
    assert "belongs to base" in refusal(tmp_path / "adapter", base)


def test_a_base_that_carries_an_adapter_already_is_refused(tmp_path):
    make_adapter(tmp_path / "adapter")
    base = tiny_model()
    attach_adapter(base, tmp_path / "adapter")
    assert "belongs to base" in refusal(tmp_path / "adapter", base)


def test_a_newer_format_is_refused(tmp_path):
    make_adapter(tmp_path / "adapter")
    edit_config(tmp_path / "adapter", format_version=2)
    assert "saved by a newer pdefm (format 2). Upgrade pdefm" in refusal(tmp_path / "adapter")


@pytest.mark.parametrize(
    "name", ["adapter_config.json", "adapter_model.safetensors", "processor_config.json"]
)
def test_a_missing_file_is_named(tmp_path, name):
    make_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / name).unlink()
    assert name in refusal_of_any(tmp_path / "adapter")


def refusal_of_any(folder) -> str:
    with pytest.raises(ModelError) as caught:
        attach_adapter(tiny_model(), folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 9, 500, -1])
def test_truncated_weights_are_refused(tmp_path, size):
    make_adapter(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(tmp_path / "adapter").startswith(f"cannot load {path}")


@pytest.mark.parametrize("tuner", sorted(TUNERS))
def test_a_weight_that_is_not_finite_is_named(tmp_path, tuner):
    make_adapter(tmp_path / "adapter", tuner=tuner)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    assert f"not finite: got {name}" in refusal(tmp_path / "adapter")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe\x00", b"{}", b'{"peft_type": "LORA"}']
)
def test_a_config_of_something_else_is_refused(tmp_path, content):
    make_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_bytes(content)
    assert "is no adapter of pdefm" in refusal(tmp_path / "adapter")


@pytest.mark.parametrize("base", [{"name": "x"}, "x", {"name": "x", "sha256": "0", "more": 1}])
def test_a_damaged_base_entry_is_refused(tmp_path, base):
    make_adapter(tmp_path / "adapter")
    edit_config(tmp_path / "adapter", base=base)
    assert "is no adapter of pdefm" in refusal(tmp_path / "adapter")


def test_an_unknown_tuner_or_option_is_refused():
    adapter = Adapter(BaseReference("x", "0"), "forecasting", "lroa")
    with pytest.raises(RecipeError, match="Did you mean 'lora'"):
        adapter.make_tuner()
    adapter = Adapter(BaseReference("x", "0"), "forecasting", "lora", {"rank": 3})
    with pytest.raises(RecipeError, match="rank"):
        adapter.make_tuner()
