"""What makes the model fast changes nothing: compiled, in bfloat16, checkpointed."""

import json
import subprocess
import sys

import pytest
import torch

from pdefm.models.dpot.convert_dpot import convert_state_dict, infer_config
from pdefm.models.dpot.modeling_dpot import DPOTModel
from tests.models.compiled_worker import roll_out, small_steps
from tests.reference.dpot_literal import dpot_literal
from tests.reference.dpot_published import PublishedDPOT
from tests.tiny_dpot import frames, tiny_model


def published():
    torch.manual_seed(0)
    model = PublishedDPOT(
        size=16, patch=4, fields=2, frames=3, width=16, depth=2, heads=2, modes=3,
        mlp_ratio=2, decoder=8, frames_out=2,
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def test_the_baseline_of_the_benchmark_is_the_published_model():
    model, x = published(), torch.randn(2, 16, 16, 3, 2)
    state = dict(model.state_dict())
    expected = dpot_literal(state, x, modes=3, act="gelu", num_out=2)
    torch.testing.assert_close(model.double()(x.double()), expected, atol=1e-5, rtol=1e-4)


def test_our_gradients_are_those_of_the_published_model():
    model = published()
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    ours = DPOTModel(infer_config(state, modes=3))
    ours.load_state_dict(convert_state_dict(state, 2))
    x = torch.randn(2, 16, 16, 3, 2)
    model(x).square().mean().backward()
    ours(x.permute(0, 3, 4, 1, 2)).prediction.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    expected = convert_state_dict(gradients, 2)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("shape", [(12,), (8, 12), (4, 8, 12)])
def test_patches_cut_out_or_convolved_have_the_same_features(shape):
    embedding = tiny_model(num_dims=len(shape), position_size=None).patch_embedding
    history, bias = torch.randn(2, 3, 2, *shape), torch.randn(8)
    kernel = embedding.field_weight.transpose(0, 1).flatten(1)
    expected = torch.nn.functional.linear(embedding._patches(history), kernel, bias)
    torch.testing.assert_close(embedding._convolved(history, kernel, bias), expected)


def run_worker(backend):
    """Compile in a fresh process, where no shape checks of the tests stand in the way."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.compiled_worker", backend],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_model_has_no_graph_break_and_equals_the_eager_one(backend):
    for changes, found in run_worker(backend).items():
        assert found["moved"] > 0.1, changes  # the rollout was not just standing still
        assert found["rollout"] < 1e-4, changes
        assert found["gradient"] < 1e-4, changes


def test_a_rollout_in_bfloat16_stays_within_two_percent():
    model = small_steps()

    def in_bf16(history):
        with torch.autocast("cpu", torch.bfloat16):
            return model(history).prediction.float()

    with torch.no_grad():
        exact = roll_out(lambda h: model(h).prediction, frames())
        rounded = roll_out(in_bf16, frames())
    error = (rounded - exact).norm() / exact.norm()
    assert 0 < error < 0.02
