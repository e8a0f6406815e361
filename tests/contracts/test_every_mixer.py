"""What every mixer of the table must do; a newcomer is tested by existing."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModel

import pdefm.models.mixers
from pdefm.errors import ModelError
from pdefm.models.mixers import MIXERS
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model

every_mixer = pytest.mark.parametrize("name", sorted(MIXERS))
COMPILE_ALL = """
import json, sys, torch
from pdefm.models.mixers import MIXERS
from tests.tiny_dpot import randomize, tiny_config

differences = {}
for name in sys.argv[1:]:
    mixer = MIXERS[name](tiny_config(mixer=name, num_modes=2))
    randomize(mixer)
    results = []
    for call in (mixer, torch.compile(mixer, fullgraph=True, backend="aot_eager")):
        latent = torch.ones(2, 4, 3, 16).cumsum(1).cos().cumsum(2).sin().requires_grad_()
        output = call(latent)
        output.square().sum().backward()
        results.append(torch.cat([output, latent.grad]))
    differences[name] = float((results[0] - results[1]).abs().max() / results[0].abs().max())
print(json.dumps(differences))
"""
every_number_of_axes = pytest.mark.parametrize("size", [(5,), (4, 4), (3, 4, 2)])


def build(name, num_dims=2, **changes):
    config = tiny_config(**({"mixer": name, "num_modes": 2, "position_size": None} | changes))
    config.num_dims = num_dims
    mixer = MIXERS[name](config)
    randomize(mixer)
    return mixer


def asks_for_num_modes(name):
    """True if the mixer cannot be without a number, and its error says which."""
    try:
        build(name, num_modes=None)
    except ModelError as error:
        return "Set num_modes" in str(error)
    return False


@every_mixer
def test_the_docstring_states_an_equation_and_a_source(name):
    text = inspect.getdoc(MIXERS[name]) or ""
    assert issubclass(MIXERS[name], nn.Module)
    assert "=" in text
    assert "Source" in text


@every_mixer
@pytest.mark.parametrize(
    "size", [(1,), (2,), (9,), (4, 4), (3, 7), (8, 2), (1, 1), (4, 2, 3), (1, 5, 1)]
)
@pytest.mark.parametrize("num_modes", [None, 1, 2])
def test_any_latent_grid_keeps_its_shape(name, size, num_modes):
    if num_modes is None and asks_for_num_modes(name):
        return
    latent = torch.randn(2, *size, 16)
    mixed = build(name, num_dims=len(size), num_modes=num_modes)(latent)
    assert mixed.shape == latent.shape
    assert mixed.isfinite().all()
    assert not torch.equal(mixed, latent)


@every_mixer
def test_the_dtype_stays_under_autocast(name):
    latent = torch.randn(2, 4, 4, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert build(name)(latent).dtype == torch.bfloat16


@every_mixer
def test_a_bfloat16_mixer_stays_close_to_float32(name):
    mixer, latent = build(name), torch.randn(2, 4, 4, 16)
    expected = mixer(latent)
    mixed = mixer.bfloat16()(latent.bfloat16())
    assert mixed.dtype == torch.bfloat16
    assert (mixed.float() - expected).norm() < 0.05 * expected.norm()


@every_mixer
@every_number_of_axes
def test_a_point_sees_the_whole_grid_of_its_own_sample_only(name, size):
    latent = torch.randn(2, *size, 16, requires_grad=True)
    mixed = build(name, num_dims=len(size))(latent)
    mixed[0].flatten(0, -2)[0].sum().backward()
    assert (latent.grad[0].abs().sum(-1) > 0).all()
    assert not latent.grad[1].any()


@every_mixer
@every_number_of_axes
def test_every_parameter_receives_a_gradient(name, size):
    mixer = build(name, num_dims=len(size))
    mixer(torch.randn(2, *size, 16)).square().sum().backward()
    without = [n for n, p in mixer.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@every_mixer
def test_the_memory_layout_of_the_input_does_not_matter(name):
    mixer, latent = build(name), torch.randn(2, 4, 3, 16)
    other = latent.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)
    assert not other.is_contiguous()
    torch.testing.assert_close(mixer(other), mixer(latent))


@every_mixer
def test_parameters_are_real_with_at_most_three_axes(name):
    for label, parameter in build(name).named_parameters():
        assert parameter.dtype == torch.float32, label
        assert parameter.ndim <= 3, label


@every_mixer
def test_initialize_fixes_every_parameter_by_the_seed(name):
    models = []
    for _ in range(2):
        mixer = build(name)
        for parameter in mixer.parameters():
            nn.init.constant_(parameter, float("nan"))
        torch.manual_seed(0)
        mixer.initialize()
        models.append(mixer.state_dict())
    assert all(tensor.isfinite().all() for tensor in models[0].values())
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


@every_mixer
def test_a_new_mixer_neither_blows_up_nor_silences_its_input(name):
    torch.manual_seed(0)
    mixer = MIXERS[name](tiny_config(hidden_size=64, mixer=name, num_modes=5))
    mixer.initialize()
    latent = torch.randn(8, 8, 8, 64)
    branch = mixer(latent) - latent
    assert 0.1 < branch.std() < 2.0


@pytest.fixture(scope="module")
def compiled():
    """Worst difference of output and gradient, compiled to eager, of every mixer.

    In another process, for the shape checks of the test run are nothing that can be compiled.
    """
    command = [sys.executable, "-c", COMPILE_ALL, *sorted(MIXERS)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@every_mixer
def test_it_compiles_as_one_graph(name, compiled):
    assert compiled[name] < 1e-4


@every_mixer
def test_a_model_with_it_is_saved_and_loaded_bit_for_bit(name, tmp_path):
    model = tiny_model(mixer=name, num_modes=2)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert torch.equal(loaded(frames()).prediction, model(frames()).prediction)


def test_every_file_of_the_folder_is_a_mixer_of_the_table():
    files = {path.stem for path in Path(pdefm.models.mixers.__file__).parent.glob("*.py")}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in MIXERS.targets.values()}
    assert files - {"__init__", "base"} - listed == set(), "a mixer that no table line names"
