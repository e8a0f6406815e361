"""``from_pretrained`` and ``save_pretrained`` themselves: exact, finite, whole, and inside."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModel, PreTrainedModel

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import weights_sha256
from tests.tiny_dpot import frames, tiny_model

INDEX = "model.safetensors.index.json"
BF16_TOLERANCE = 0.02  # relative L2; measured 0.003 to 0.004 (prediction), 0.007 (hidden state)


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def shards(tmp_path):
    tiny_model().save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    return tmp_path / "shards"


def edit_weights(folder, **changes):
    tensors = load_file(folder / "model.safetensors") | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def edit_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def refusal(folder, loader=DPOTModel, **options) -> str:
    with pytest.raises(ModelError) as caught:
        loader.from_pretrained(folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def relative_l2(found, expected):
    return ((found.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("loader", [AutoModel, DPOTModel])
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"layers.1.fc1.bias": None}, "missing layers.1.fc1.bias. The folder"),
        ({"layers.1.fc1.bias": None, "decoder.field_bias": None}, "decoder.field_bias and 1 more"),
        ({"bogus": torch.zeros(2)}, "unexpected bogus"),
        (
            {"decoder.upsample_bias": torch.zeros(3)},
            "mismatched decoder.upsample_bias, [3] for [8]",
        ),
        ({"decoder.upsample_bias": torch.full((8,), torch.nan)}, "finite: got decoder.upsample"),
    ],
)
def test_weights_that_do_not_fit_are_refused_without_our_own_loader(folder, loader, changes, part):
    edit_weights(folder, **changes)
    assert part in refusal(folder, loader)


@pytest.mark.parametrize(
    "option",
    [{"ignore_mismatched_sizes": True}, {"use_safetensors": False}, {"weights_only": False}],
)
def test_options_that_let_other_weights_in_are_refused(folder, option):
    assert f"{next(iter(option))}={next(iter(option.values()))} is refused" in refusal(
        folder, **option
    )


def test_an_option_that_nobody_knows_is_named(folder):
    assert "'num_mods'. Leave that option out" in refusal(folder, AutoModel, num_mods=3)


def test_the_loading_info_of_transformers_is_there_on_request(folder):
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert weights_sha256(model) == weights_sha256(tiny_model())
    assert {"missing_keys", "unexpected_keys", "mismatched_keys"} <= info.keys()


@pytest.mark.parametrize("target", ["{out}/x.safetensors", "../x.safetensors", "..\\x.safetensors"])
def test_a_shard_index_that_points_outside_is_refused(shards, tmp_path, target):
    shutil.copyfile(next(shards.glob("*.safetensors")), tmp_path / "x.safetensors")
    target = target.format(out=tmp_path)
    edit_json(shards / INDEX, lambda index: index["weight_map"].update(x=target))
    assert "points outside its folder" in refusal(shards)


def test_a_shard_that_is_a_link_to_elsewhere_is_refused(shards, tmp_path):
    shard = next(shards.glob("*.safetensors"))
    shard.rename(tmp_path / "x.safetensors")
    shard.symlink_to(tmp_path / "x.safetensors")
    assert f"points outside its folder: got '{shard.name}'" in refusal(shards)


def test_the_links_of_the_hub_cache_are_followed(shards, tmp_path):
    cache = tmp_path / "models--me--x"
    snapshot, blobs = cache / "snapshots" / "abc", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in shards.iterdir():
        (blobs / f"hash-{path.name}").write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / f"hash-{path.name}")
    assert weights_sha256(DPOTModel.from_pretrained(snapshot)) == weights_sha256(tiny_model())


def test_a_shard_that_is_not_there_is_named(shards):
    shard = next(shards.glob("*.safetensors"))
    shard.unlink()
    text = refusal(shards)
    assert shard.name in text
    assert "no such file" in text.lower()


@pytest.mark.parametrize("content", ["{}", "[]", '{"weight_map": {"a": 3}, "metadata": {}}', "{"])
def test_a_damaged_shard_index_is_refused(shards, content):
    (shards / INDEX).write_text(content)
    assert str(shards) in refusal(shards)


def test_a_pickle_named_by_the_index_is_not_opened(shards):
    shard = next(shards.glob("*.safetensors"))
    torch.save(load_file(shard), shards / "pytorch_model.bin")
    shard.unlink()

    def name_the_pickle(index):
        moved = {
            k: v.replace(shard.name, "pytorch_model.bin") for k, v in index["weight_map"].items()
        }
        index["weight_map"] = moved

    edit_json(shards / INDEX, name_the_pickle)
    assert "not safetensors: got 'pytorch_model.bin'" in refusal(shards)


def test_an_unknown_key_of_the_config_is_refused_by_the_auto_class(folder):
    edit_json(folder / "config.json", lambda config: config.update(num_mods=3))
    text = refusal(folder, AutoModel)
    assert "unknown key in a DPOTConfig: got 'num_mods'. Did you mean 'num_modes'?" in text
    assert "upgrade pdefm" in text


def test_bfloat16_loads_and_stays_close(folder):
    tiny = tiny_model()
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    kept = {name for name, p in model.named_parameters() if p.dtype == torch.float32}
    assert kept == {"time_aggregation.gamma"}
    assert model.dtype == torch.bfloat16
    found, expected = model(frames().bfloat16()), tiny(frames())
    assert found.prediction.dtype == torch.bfloat16
    assert relative_l2(found.prediction, expected.prediction) < BF16_TOLERANCE
    assert relative_l2(found.last_hidden_state, expected.last_hidden_state) < BF16_TOLERANCE


def test_a_model_saved_in_bfloat16_comes_back_in_it(folder, tmp_path):
    model = DPOTModel.from_pretrained(folder, dtype="bfloat16")
    model.save_pretrained(tmp_path / "half")
    assert weights_sha256(AutoModel.from_pretrained(tmp_path / "half")) == weights_sha256(model)


SPLIT = {
    "patch_embedding": "cpu",
    "time_aggregation": "cpu",
    "layers.0": "cpu",
    "layers.1": "disk",
    "decoder": "disk",
}


@pytest.mark.parametrize("device_map", ["cpu", "auto", SPLIT], ids=["cpu", "auto", "disk"])
def test_a_device_map_changes_where_weights_are_and_nothing_else(
    folder, tmp_path, users_shapes, device_map
):
    offload = tmp_path / "offload"
    model = AutoModel.from_pretrained(folder, device_map=device_map, offload_folder=offload)
    found = model(frames().to(model.device)).prediction.to("cpu")
    torch.testing.assert_close(found, tiny_model()(frames()).prediction)
    edit_weights(folder, **{"decoder.upsample_bias": torch.full((8,), torch.inf)})
    text = refusal(folder, device_map=device_map, offload_folder=offload)
    assert "not finite: got decoder.upsample_bias" in text


def test_saving_refuses_weights_that_are_not_finite_and_leaves_the_old_ones(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = tiny_model(seed=1)
    model.decoder.field_bias.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"not finite: got decoder\.field_bias"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("sizes", [("5KB", "1GB"), ("1GB", "5KB"), ("5KB", "9KB")])
def test_a_second_save_leaves_nothing_of_the_first(tmp_path, sizes):
    folder = tmp_path / "model"
    tiny_model(seed=1).save_pretrained(folder, max_shard_size=sizes[0])
    (folder / "notes.txt").write_text("mine")
    tiny_model(seed=2).save_pretrained(folder, max_shard_size=sizes[1])
    tiny_model(seed=2).save_pretrained(tmp_path / "fresh", max_shard_size=sizes[1])
    fresh = {path.name for path in (tmp_path / "fresh").iterdir()}
    assert {path.name for path in folder.iterdir()} == fresh | {"notes.txt"}
    assert weights_sha256(AutoModel.from_pretrained(folder)) == weights_sha256(tiny_model(seed=2))


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SafetensorError("No space left on device"), EnvironmentFault),
        (OSError(28, "No space left on device"), EnvironmentFault),
        (OSError("an answer of the Hub"), OSError),
    ],
)
def test_a_save_that_stops_half_way_leaves_the_folder_as_it_was(folder, monkeypatch, failure, seen):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def half(self, directory, *args, **kwargs):
        Path(directory, "model.safetensors").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", half)
    with pytest.raises(seen) as caught:
        tiny_model(seed=1).save_pretrained(folder)
    assert type(caught.value) is seen
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saved_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        tiny_model().save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o640}


def test_saving_onto_a_file_is_an_environment_fault(tmp_path):
    (tmp_path / "model").write_text("a file")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        tiny_model().save_pretrained(tmp_path / "model")
