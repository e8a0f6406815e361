"""What we rely on in transformers' PreTrainedModel; a failure here means that an upgrade moved it.

:class:`~pdefm.models.pretrained.StrictPreTrainedModel` refuses the cases that are provoked here, so
the upstream loader is called past it.
"""

import inspect

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.pretrained import StrictPreTrainedModel
from tests.tiny_dpot import tiny_config, tiny_model

VARIANTS = {
    "default": {},
    "modulated": {"instance_normalization": True},
    "published": {"mode_truncation": "one_sided", "spectral_output_bias": True, "num_modes": 3},
    "3-D": {"num_dims": 3, "position_size": [2, 2, 2], "prediction": "state"},
}


def upstream_load(folder):
    """The lenient loading of transformers itself."""
    return super(StrictPreTrainedModel, DPOTModel).from_pretrained(folder, output_loading_info=True)


def keep_only(folder, *names):
    """Leave these tensors in the file, each full of sevens."""
    tensors = load_file(folder / "model.safetensors")
    kept = {name: torch.full_like(tensors[name], 7.0) for name in names}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def empty_memory_is_nan():
    """New memory holds NaN, so that what nobody initialises is seen."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_init_weights_reaches_every_parameter_of_a_model(empty_memory_is_nan, variant):
    model = DPOTModel(tiny_config(**VARIANTS[variant]))
    assert [name for name, p in model.named_parameters() if not torch.isfinite(p).all()] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_init_weights_reaches_every_parameter_that_a_file_lacks(
    empty_memory_is_nan, tmp_path, variant
):
    tiny_model(**VARIANTS[variant]).save_pretrained(tmp_path)
    keep_only(tmp_path, "layers.0.norm1.weight")  # built on the meta device, the rest from nothing
    model, info = upstream_load(tmp_path)
    assert len(info["missing_keys"]) == len(model.state_dict()) - 1
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert [name for name, p in model.named_parameters() if not torch.isfinite(p).all()] == []
    gamma = model.time_aggregation.gamma
    torch.testing.assert_close(gamma[0], 2.0 ** torch.linspace(-10, 10, gamma.shape[1]))


def test_initialising_what_is_missing_leaves_loaded_tensors_of_the_same_module_alone(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    loaded = (
        "layers.0.fc1.bias",
        "layers.1.norm2.weight",
        "time_aggregation.weight",
        "patch_embedding.bias",
        "decoder.field_weight",
    )
    keep_only(tmp_path, *loaded)
    state = upstream_load(tmp_path)[0].state_dict()
    assert {name for name, tensor in state.items() if bool((tensor == 7.0).all())} == set(loaded)


def test_the_lenient_loader_still_reports_what_we_turn_into_errors(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["decoder.field_bias"]
    tensors["bogus"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _, info = upstream_load(tmp_path)
    assert (info["missing_keys"], info["unexpected_keys"]) == ({"decoder.field_bias"}, {"bogus"})
    assert not info["mismatched_keys"]


def test_the_step_before_reading_weights_is_where_we_check_them():
    step = inspect.signature(PreTrainedModel._load_pretrained_model)
    assert list(step.parameters)[:4] == ["model", "state_dict", "checkpoint_files", "load_config"]
    assert isinstance(vars(PreTrainedModel)["_load_pretrained_model"], staticmethod)


def test_that_step_runs_for_one_file_and_for_shards(tmp_path, monkeypatch):
    seen = []
    original = PreTrainedModel._load_pretrained_model

    def spy(model, state_dict, checkpoint_files, load_config):
        seen.append((len(checkpoint_files), load_config.sharded_metadata is not None))
        return original(model, state_dict, checkpoint_files, load_config)

    monkeypatch.setattr(PreTrainedModel, "_load_pretrained_model", staticmethod(spy))
    for name, size in (("one", "1GB"), ("many", "5KB")):
        tiny_model().save_pretrained(tmp_path / name, max_shard_size=size)
        DPOTModel.from_pretrained(tmp_path / name)
    assert [sharded for _, sharded in seen] == [False, True]
    assert seen[0][0] == 1 < seen[1][0]


def test_saved_files_have_the_names_that_publishing_and_the_hub_expect(tmp_path):
    tiny_model().save_pretrained(tmp_path / "one")
    assert {p.name for p in (tmp_path / "one").iterdir()} == {"config.json", "model.safetensors"}
    tiny_model().save_pretrained(tmp_path / "many", max_shard_size="5KB")
    names = {p.name for p in (tmp_path / "many").iterdir()}
    shards = {name for name in names if name.startswith("model-")}
    assert names - shards == {"config.json", "model.safetensors.index.json"}
    count = len(shards)
    assert shards == {f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_means_all_but_what_stays_in_float32(tmp_path, dtype):
    tiny_model().save_pretrained(tmp_path)
    model = DPOTModel.from_pretrained(tmp_path, dtype=dtype)
    assert model.time_aggregation.gamma.dtype == (torch.float32 if dtype.itemsize < 4 else dtype)
    others = {p.dtype for name, p in model.named_parameters() if not name.endswith("gamma")}
    assert others == {dtype}
    assert model.config.dtype == dtype


def test_a_checkpointed_layer_hands_its_positional_arguments_to_the_function():
    class Layer(GradientCheckpointingLayer):
        def forward(self, hidden_states, scale=1.0):
            return hidden_states * scale

    def spy(function, *args):
        calls.append(args)
        return function(*args)

    calls = []
    layer = Layer().train()
    layer.gradient_checkpointing, layer._gradient_checkpointing_func = True, spy
    x = torch.ones(2)
    assert torch.equal(layer(x, scale=3.0), 3 * x)
    assert [len(args) for args in calls] == [1]
    assert calls[0][0] is x
    layer.eval()
    layer(x)
    assert len(calls) == 1
