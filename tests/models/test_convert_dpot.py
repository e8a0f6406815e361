"""The published DPOT: fixtures recorded from the original code, and a literal transcription."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pdefm.errors import DataError, ModelError
from pdefm.models.dpot.convert_dpot import convert_dpot, convert_state_dict, infer_config
from pdefm.models.dpot.modeling_dpot import DPOTModel
from tests.reference.dpot_literal import dpot_literal

GOLDEN = Path(__file__).parents[1] / "golden" / "dpot"


def load_fixture(name):
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    recorded = {key: tensors.pop(key) for key in ("input", "output", "cls")}
    return tensors, recorded["input"], recorded["output"], config


def build(state, config):
    converted = convert_state_dict(state, config["in_channels"])
    model = DPOTModel(infer_config(state, modes=config["modes"], act=config["act"]))
    model.load_state_dict(converted, strict=True)
    return model.eval()


def channels_first(x):
    return x.permute(0, 3, 4, 1, 2)  # [B, T, C, X, Y]


@pytest.mark.parametrize("name", ["a_2d_expmlp", "a2_2d_allmodes"])
def test_output_equals_the_recorded_one(name):
    state, x, expected, config = load_fixture(name)
    with torch.no_grad():
        prediction = build(state, config)(channels_first(x)).prediction
    torch.testing.assert_close(prediction, channels_first(expected), atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["a_2d_expmlp", "a2_2d_allmodes"])
def test_literal_transcription_equals_the_recorded_output(name):
    state, x, expected, config = load_fixture(name)
    y = dpot_literal(state, x, modes=config["modes"], act=config["act"], num_out=3)
    torch.testing.assert_close(y.float(), expected, atol=5e-5, rtol=1e-4)


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
            torch.testing.assert_close(value, file.get_tensor(key), atol=5e-5, rtol=1e-4)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("activation", "modes", "exponential", "horizon"),
    [("relu", 3, True, 2), ("silu", 5, False, 1), ("tanh", 7, True, 3)],
)
def test_other_configurations_equal_the_literal_transcription(
    activation, modes, exponential, horizon
):
    state, x, _, _ = load_fixture("a_2d_expmlp")
    if not exponential:
        del state["time_agg_layer.gamma"]
    generator = torch.Generator().manual_seed(1)
    state["out_layer.4.weight"] = torch.randn(3 * horizon, 16, 1, 1, generator=generator)
    state["out_layer.4.bias"] = torch.randn(3 * horizon, generator=generator)
    config = {"in_channels": 3, "modes": modes, "act": activation}
    expected = dpot_literal(state, x, modes=modes, act=activation, num_out=3)
    with torch.no_grad():
        prediction = build(state, config)(channels_first(x)).prediction
    assert prediction.shape[1] == horizon
    torch.testing.assert_close(prediction.double(), channels_first(expected), atol=5e-5, rtol=1e-4)


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
