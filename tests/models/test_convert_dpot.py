"""The published DPOT: fixtures recorded from the original code, and a literal transcription."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pdefm.config import load_recipe
from pdefm.errors import DataError, ModelError
from pdefm.models.dpot.convert_dpot import (
    convert_dpot,
    convert_state_dict,
    infer_config,
    transfer_blocks,
)
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.train.pretrain import make_config
from pdefm.train.recipe import PretrainRecipe
from tests.reference.dpot_literal import ACTIVATIONS, dpot_literal
from tests.reference.rebuild_weights import checksum, rebuild
from tests.tiny_dpot import tiny_processor

GOLDEN = Path(__file__).parents[1] / "golden" / "dpot"


TOLERANCE = {"atol": 5e-5, "rtol": 1e-4}
TOLERANCE_3D = {"atol": 2e-4, "rtol": 1e-4}


def load_fixture(name):
    """Original state dict, recorded input and output, and the original constructor's arguments."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors.pop("cls", None)
    x, y = tensors.pop("input"), tensors.pop("output")
    return tensors, x, y, json.loads(metadata["config"])


def build(state, config):
    converted = convert_state_dict(state, config["in_channels"])
    model = DPOTModel(infer_config(state, modes=config["modes"], act=config["act"]))
    model.load_state_dict(converted, strict=True)
    return model.eval()


def channels_first(x):
    return x.movedim((-2, -1), (1, 2))  # [B, T, C, *space]


def predict(state, config, x):
    with torch.no_grad():
        return build(state, config)(channels_first(x)).prediction


def tolerance(state):
    return TOLERANCE_3D if state["pos_embed"].ndim == 5 else TOLERANCE


@pytest.mark.parametrize(
    "name", ["a_2d_expmlp", "a2_2d_allmodes", "e_legacy_expected", "d_3d", "f_2d_to_3d"]
)
def test_output_equals_the_recorded_one(name):
    state, x, expected, config = load_fixture(name)
    state = {key: value for key, value in state.items() if not key.startswith("src2d.")}
    prediction = predict(state, config, x)
    torch.testing.assert_close(prediction, channels_first(expected), **tolerance(state))


@pytest.mark.parametrize("name", ["a_2d_expmlp", "a2_2d_allmodes", "d_3d"])
def test_literal_transcription_equals_the_recorded_output(name):
    state, x, expected, config = load_fixture(name)
    num_out = config["out_channels"]
    y = dpot_literal(state, x, modes=config["modes"], act=config["act"], num_out=num_out)
    torch.testing.assert_close(y.float(), expected, **tolerance(state))


def tiny_shapes():
    """Names and shapes of the published Ti, class head included."""
    D, E, L, p = 512, 35, 32, 8
    shapes = {
        "pos_embed": (1, D, 16, 16),
        "patch_embed.proj.0.weight": (E, 7, p, p),
        "patch_embed.proj.0.bias": (E,),
        "patch_embed.proj.2.weight": (D, E, 1, 1),
        "patch_embed.proj.2.bias": (D,),
        "time_agg_layer.w": (10, D, D),
        "time_agg_layer.gamma": (1, D),
        "out_layer.0.weight": (D, L, p, p),
        "out_layer.0.bias": (L,),
        "out_layer.2.weight": (L, L, 1, 1),
        "out_layer.2.bias": (L,),
        "out_layer.4.weight": (4, L, 1, 1),
        "out_layer.4.bias": (4,),
        "cls_head.4.weight": (12, D),
        "cls_head.4.bias": (12,),
    }
    for i in (0, 2):
        shapes |= {f"cls_head.{i}.weight": (D, D), f"cls_head.{i}.bias": (D,)}
    for i in range(4):
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{part}.{leaf}": (D,) for leaf in ("weight", "bias")}
        for part in (0, 2):
            shapes |= {f"blocks.{i}.mlp.{part}.weight": (D, D, 1, 1)}
            shapes |= {f"blocks.{i}.mlp.{part}.bias": (D,)}
        for k in (1, 2):
            shapes |= {f"blocks.{i}.filter.w{k}": (2, 4, D // 4, D // 4)}
            shapes |= {f"blocks.{i}.filter.b{k}": (2, 4, D // 4)}
    return shapes


def test_the_published_tiny_shape_equals_the_recorded_output():
    with safe_open(GOLDEN / "c_tiny_128.safetensors", "pt") as file:
        x, expected = file.get_tensor("input"), file.get_tensor("output")
        metadata = file.metadata()
    weights = {n: rebuild(int(metadata["seed"]), n, s) for n, s in tiny_shapes().items()}
    assert checksum(weights) == metadata["weights_sha256"]
    assert sum(w.size for w in weights.values()) == int(metadata["n_params"])
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    prediction = predict(state, json.loads(metadata["config"]), x)
    torch.testing.assert_close(prediction, channels_first(expected), **TOLERANCE)


def test_blocks_and_time_aggregation_transfer_from_2d_to_3d():
    tensors, x, expected, config = load_fixture("f_2d_to_3d")
    target = {name: t for name, t in tensors.items() if not name.startswith("src2d.")}
    source = {name.removeprefix("src2d."): t for name, t in tensors.items() if "src2d." in name}
    model = build(target, config)
    flat = build(source, config)
    with torch.no_grad():
        for parameter in [*model.layers.parameters(), model.time_aggregation.weight]:
            parameter.zero_()
    transfer_blocks(flat, model, time_aggregation=True)
    with torch.no_grad():
        prediction = model(channels_first(x)).prediction
    torch.testing.assert_close(prediction, channels_first(expected), **TOLERANCE_3D)


def test_hidden_states_equal_the_recorded_ones():
    state, x, _, config = load_fixture("a_2d_expmlp")
    model = build(state, config)
    seen = {}
    for i, layer in enumerate(model.layers):
        for part, module in (("", layer), (".filter", layer.mixer), (".norm2", layer.norm2)):
            key = f"blocks.{i}{part}"
            module.register_forward_hook(lambda _m, _i, out, key=key: seen.update({key: out}))
    with torch.no_grad():
        model(channels_first(x))
    with safe_open(GOLDEN / "a_2d_expmlp.activations.safetensors", "pt") as file:
        for key, value in seen.items():
            value = value.movedim(-1, 1)  # the recorded ones have channels first
            torch.testing.assert_close(value, file.get_tensor(key), atol=5e-5, rtol=1e-4)
    assert len(seen) == 6


def with_normalization(state, num_fields):
    """The same weights with the published ``normalize`` switch on."""
    generator = torch.Generator().manual_seed(2)
    D = state["pos_embed"].shape[1]
    for name in ("scale_feats_mu", "scale_feats_sigma"):
        state[f"{name}.weight"] = 0.3 * torch.randn(D, 2 * num_fields, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(D, generator=generator)


@pytest.mark.parametrize("activation", ["gelu", *sorted(ACTIVATIONS.keys() - {"gelu"})])
@pytest.mark.parametrize(
    ("fixture", "modes", "exponential", "horizon", "normalize"),
    [
        ("a_2d_expmlp", 3, True, 2, False),
        ("a_2d_expmlp", 5, False, 1, True),
        ("a_2d_expmlp", 7, True, 3, True),
        ("d_3d", 3, False, 2, True),
    ],
)
def test_other_configurations_equal_the_literal_transcription(
    fixture, activation, modes, exponential, horizon, normalize
):
    state, x, _, config = load_fixture(fixture)
    num_fields, L = config["in_channels"], state["out_layer.2.bias"].shape[0]
    ones = (1,) * (state["pos_embed"].ndim - 2)
    if not exponential:
        del state["time_agg_layer.gamma"]
    if normalize:
        with_normalization(state, num_fields)
    generator = torch.Generator().manual_seed(1)
    # Small enough for outputs of order one, whatever the activation lets through.
    last = 0.2 * torch.randn(num_fields * horizon, L, *ones, generator=generator)
    state["out_layer.4.weight"] = last
    state["out_layer.4.bias"] = torch.randn(num_fields * horizon, generator=generator)
    expected = dpot_literal(state, x, modes=modes, act=activation, num_out=num_fields)
    prediction = predict(state, config | {"modes": modes, "act": activation}, x)
    assert prediction.shape[1] == horizon
    torch.testing.assert_close(prediction.double(), channels_first(expected), **tolerance(state))


def save_checkpoint(path, state, prefix=""):
    content = {
        "args": argparse.Namespace(lr=1e-3),
        "model": {prefix + name: tensor for name, tensor in state.items()},
        "optimizer": {"state": {}},
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoint_file_converts_to_a_folder_that_auto_model_loads(tmp_path, prefix):
    from transformers import AutoModel, AutoProcessor

    state, x, expected, _ = load_fixture("a2_2d_allmodes")
    model, processor, dropped = convert_dpot(save_checkpoint(tmp_path / "m.pth", state, prefix))
    assert len(dropped) == 6
    model.save_pretrained(tmp_path / "out")
    processor.save_pretrained(tmp_path / "out")
    loaded = AutoModel.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        prediction = loaded(channels_first(x)).prediction
    torch.testing.assert_close(prediction, channels_first(expected), atol=5e-5, rtol=1e-4)
    assert AutoProcessor.from_pretrained(tmp_path / "out").padding_value == 1.0


class Hostile:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    torch.save({"model": {}, "args": Hostile()}, tmp_path / "bad.pth")
    with pytest.raises(DataError, match="Only tensors are read"):
        convert_dpot(tmp_path / "bad.pth")
    assert "never run" not in capsys.readouterr().out


def test_a_truncated_file_is_refused(tmp_path):
    state, _, _, _ = load_fixture("a2_2d_allmodes")
    path = save_checkpoint(tmp_path / "m.pth", state)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot read"):
        convert_dpot(path)


def test_another_architecture_is_refused(tmp_path):
    path = save_checkpoint(tmp_path / "m.pth", {"conv.weight": torch.zeros(3, 3)})
    with pytest.raises(ModelError, match="not a DPOT checkpoint"):
        convert_dpot(path)


def test_a_missing_tensor_is_not_skipped_silently(tmp_path):
    state, _, _, _ = load_fixture("a2_2d_allmodes")
    del state["blocks.1.mlp.0.bias"]
    with pytest.raises(ModelError, match=r"layers\.1\.fc1\.bias"):
        convert_dpot(save_checkpoint(tmp_path / "m.pth", state))


def test_the_checkpoint_that_the_original_training_saved_converts():
    _, x, expected, _ = load_fixture("e_legacy_expected")
    model, processor, dropped = convert_dpot(GOLDEN / "e_legacy_single.pth")
    assert len(dropped) == 6
    assert processor.padding_value == 1.0
    with torch.no_grad():
        prediction = model.eval()(channels_first(x)).prediction
    torch.testing.assert_close(prediction, channels_first(expected), **TOLERANCE)


@pytest.mark.parametrize(
    ("size", "published"),
    [
        ("tiny", 7_534_643),
        ("small", 30_801_459),
        ("medium", 122_125_875),
        ("large", 509_018_739),
        ("huge", 1_031_082_099),
    ],
)
def test_the_recipes_of_published_sizes_have_the_published_number_of_parameters(size, published):
    section = load_recipe(f"pretrain/{size}", PretrainRecipe).model
    processor = tiny_processor(("a", "b", "c", "d"), history=section.history)
    config = make_config(section, processor, (128, 128))
    config.spectral_output_bias = True  # the one bias that ours leaves out
    with torch.device("meta"):
        model = DPOTModel(config)
    D = config.hidden_size
    class_head = 2 * D * (D + 1) + 12 * (D + 1)
    assert model.num_parameters() + class_head == published


def test_the_nano_recipe_has_at_most_a_million_and_a_half():
    section = load_recipe("pretrain/nano", PretrainRecipe).model
    names = ("vorticity", "u", "v", "velocity_x", "velocity_y", "phase")
    config = make_config(section, tiny_processor(names, history=section.history), (64, 64))
    with torch.device("meta"):
        assert 500_000 < DPOTModel(config).num_parameters() < 1_500_000
