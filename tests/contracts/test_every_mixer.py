"""What every mixer of the table must do; a newcomer is tested by existing."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModel

import pdefm.models.mixers
from pdefm.models.mixers import MIXERS
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model

every_mixer = pytest.mark.parametrize("name", sorted(MIXERS))


def build(name, **changes):
    mixer = MIXERS[name](tiny_config(mixer=name, **changes))
    randomize(mixer)
    return mixer


@every_mixer
def test_the_docstring_states_an_equation_and_a_source(name):
    text = inspect.getdoc(MIXERS[name]) or ""
    assert issubclass(MIXERS[name], nn.Module)
    assert "=" in text
    assert "Source" in text


@every_mixer
@pytest.mark.parametrize("size", [(4, 4), (3, 7), (8, 2), (1, 1)])
@pytest.mark.parametrize("num_modes", [None, 1, 2])
def test_any_latent_grid_keeps_its_shape(name, size, num_modes):
    latent = torch.randn(2, 16, *size)
    mixed = build(name, num_modes=num_modes)(latent)
    assert mixed.shape == latent.shape
    assert mixed.isfinite().all()


@every_mixer
def test_the_dtype_stays_under_autocast(name):
    latent = torch.randn(2, 16, 4, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert build(name)(latent).dtype == torch.bfloat16


@every_mixer
def test_a_point_sees_the_whole_grid_of_its_own_sample_only(name):
    latent = torch.randn(2, 16, 4, 4, requires_grad=True)
    build(name)(latent)[0, :, 0, 0].sum().backward()
    assert (latent.grad[0].abs().sum(0) > 0).all()
    assert not latent.grad[1].any()


@every_mixer
def test_every_parameter_receives_a_gradient(name):
    mixer = build(name)
    mixer(torch.randn(2, 16, 4, 4)).square().sum().backward()
    without = [n for n, p in mixer.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


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
def test_a_model_with_it_is_saved_and_loaded_bit_for_bit(name, tmp_path):
    model = tiny_model(mixer=name)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert torch.equal(loaded(frames()).prediction, model(frames()).prediction)


def test_every_file_of_the_folder_is_a_mixer_of_the_table():
    files = {path.stem for path in Path(pdefm.models.mixers.__file__).parent.glob("*.py")}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in MIXERS.targets.values()}
    assert files - {"__init__", "base"} - listed == set(), "a mixer that no table line names"
