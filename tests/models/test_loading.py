"""A model folder loads exactly or not at all, and its hash is that of its weights."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pdefm.errors import ModelError
from pdefm.models.loading import load_model, load_processor, save_model, weights_sha256
from tests.tiny_dpot import frames, tiny_model, tiny_processor


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    save_model(path, tiny_model(), tiny_processor())
    return path


def edit_weights(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_json(folder, file, **changes):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))


def refusal(folder) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert folder.name in text or "config" in text or "hidden" in text
    return text


def test_a_folder_holds_config_weights_and_processor_and_loads_bit_for_bit(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "processor_config.json"}
    model, processor = load_model(folder)
    assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)
    assert not model.training
    assert processor.fields == tiny_processor().fields


def test_loading_and_saving_say_nothing(folder, capfd):
    model, processor = load_model(folder)
    save_model(folder, model, processor)
    written = capfd.readouterr()
    assert written.out + written.err == ""


def test_a_missing_tensor_is_named(folder):
    edit_weights(folder, lambda tensors: tensors.pop("layers.1.fc1.bias"))
    assert "missing layers.1.fc1.bias" in refusal(folder)


def test_an_extra_tensor_is_named(folder):
    edit_weights(folder, lambda tensors: tensors.update(bogus=torch.zeros(2)))
    assert "unexpected bogus" in refusal(folder)


def test_a_tensor_of_another_shape_is_named(folder):
    changed = {"patch_embedding.bias": torch.zeros(3)}
    edit_weights(folder, lambda tensors: tensors.update(changed))
    assert "patch_embedding.bias" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(folder, value):
    edit_weights(folder, lambda tensors: tensors["decoder.upsample_bias"][2].fill_(value))
    assert "not finite: got decoder.upsample_bias" in refusal(folder)


@pytest.mark.parametrize("size", [0, 7, 3000, -1])
def test_truncated_weights_are_refused(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(folder).startswith(f"cannot load {folder}")


def test_weights_as_a_pickle_are_not_looked_at(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "no file named model.safetensors" in refusal(folder)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00", b"{}"])
def test_a_broken_config_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    assert refusal(folder).startswith(f"cannot load {folder}")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"hidden_size": "wide"}, "hidden_size must be a whole number"),
        ({"hidden_act": "gleu"}, "Did you mean 'gelu'"),
        ({"mixer": "afnoo"}, "Did you mean 'afno'"),
        ({"hidden_size": 32}, "mismatched"),
        ({"num_hidden_layers": 3}, "missing layers.2"),
        ({"num_hidden_layers": 1}, "unexpected layers.1"),
    ],
)
def test_a_config_that_the_weights_do_not_fit_is_refused(folder, changes, part):
    edit_json(folder, "config.json", **changes)
    assert part in refusal(folder)


def test_a_folder_without_config_or_processor_is_refused(folder):
    (folder / "processor_config.json").unlink()
    assert "processor_config.json" in refusal(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)
    assert "is no model folder" in refusal(folder / "nowhere")


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b"\xff\xfe", b'{"fields": ["a"], "history": 3}', b'{"history": 3}']
)
def test_a_broken_processor_is_refused(folder, content):
    (folder / "processor_config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot load .*processor_config\.json") as caught:
        load_processor(folder)
    assert "\n" not in str(caught.value)


def test_the_processor_of_another_model_is_refused(folder):
    edit_json(folder, "processor_config.json", history=4)
    assert "differ in history: got 3 and 4" in refusal(folder)
    fields = {"density": tiny_processor().fields["density"]}
    edit_json(folder, "processor_config.json", history=3, fields=fields)
    assert "no statistics of a field: got pressure" in refusal(folder)


def test_the_hash_is_the_same_in_memory_in_a_file_and_in_shards(folder, tmp_path):
    model = tiny_model()
    expected = weights_sha256(model)
    assert len(expected) == 64
    assert weights_sha256(load_model(folder)[0]) == expected
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    tiny_processor().save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert weights_sha256(load_model(tmp_path / "shards")[0]) == expected


def test_the_hash_changes_with_one_flipped_bit_and_with_a_name_or_dtype():
    model = tiny_model()
    hashes = {weights_sha256(model)}
    bits = model.decoder.field_bias.data.view(torch.int32)
    bits[0, 0] ^= 1
    hashes.add(weights_sha256(model))
    bits[0, 0] ^= 1
    assert weights_sha256(model) in hashes
    hashes.add(weights_sha256(model.to(torch.bfloat16)))
    hashes.add(weights_sha256(torch.nn.ModuleDict({"wrapped": tiny_model()})))
    hashes.add(weights_sha256(tiny_model(field_names=["a", "b", "c"])))
    assert len(hashes) == 5
