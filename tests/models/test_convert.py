"""A published checkpoint becomes a whole model folder or none."""

import argparse
import stat

import pytest
import torch
from safetensors.torch import load_file

from pdefm.errors import DataError, EnvironmentFault, ModelError, RecipeError
from pdefm.models.convert import convert_checkpoint
from pdefm.models.loading import load_model
from tests.models.test_convert_dpot import GOLDEN, load_fixture, save_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    state, *_ = load_fixture("a2_2d_allmodes")
    return save_checkpoint(tmp_path / "published.pth", state)


def convert(checkpoint, out, **changes):
    return convert_checkpoint(**({"kind": "dpot", "file": checkpoint, "out": out} | {
        "modes": 32, "act": "gelu"} | changes))  # fmt: skip


def test_the_folder_loads_and_the_summary_describes_it(checkpoint, tmp_path):
    summary = convert(checkpoint, tmp_path / "out")
    model, processor = load_model(tmp_path / "out")
    assert summary["out"] == str(tmp_path / "out")
    assert summary["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert (
        summary["field_names"]
        == model.config.field_names
        == ["channel_0", "channel_1", "channel_2"]
    )
    assert (summary["history"], summary["horizon"]) == (processor.history, processor.horizon)
    assert len(summary["dropped"]) == 6
    assert all(name.startswith("cls_head.") for name in summary["dropped"])


def test_the_options_reach_the_configuration(checkpoint, tmp_path):
    convert(checkpoint, tmp_path / "out", modes=2, act="silu")
    config = load_model(tmp_path / "out")[0].config
    assert (config.num_modes, config.hidden_act) == (2, "silu")


def test_others_may_read_the_files(checkpoint, tmp_path):
    convert(checkpoint, tmp_path / "out")
    files = list((tmp_path / "out").iterdir())
    assert len(files) == 3
    assert all(path.stat().st_mode & stat.S_IRGRP for path in files)


def failing_write(*_arguments, **_keywords):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("content", "changes", "kind"),
    [
        ({"model": {"conv.weight": torch.zeros(3)}}, {}, ModelError),
        (b"not a checkpoint", {}, DataError),
        (None, {}, DataError),
        ("good", {"act": "gleu"}, ModelError),
        ("good", {"modes": 0}, ModelError),
        ("good", {"kind": "dpto"}, RecipeError),
    ],
)
def test_a_failure_leaves_nothing_behind(checkpoint, tmp_path, content, changes, kind):
    if content is None:
        checkpoint.unlink()
    elif isinstance(content, bytes):
        checkpoint.write_bytes(content)
    elif isinstance(content, dict):
        torch.save(content | {"args": argparse.Namespace()}, checkpoint)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind) as caught:
        convert(checkpoint, tmp_path / "out", **changes)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_write_that_fails_half_way_leaves_nothing_behind(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("pdefm.models.processing_pde.PDEProcessor.save_pretrained", failing_write)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="No space"):
        convert(checkpoint, tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_existing_folder_is_refused_unless_told_to_replace_it(checkpoint, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(EnvironmentFault, match="exists"):
        convert(checkpoint, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    convert(checkpoint, out, overwrite=True)
    assert not (out / "mine.txt").exists()
    tensors = load_file(out / "model.safetensors")
    original = load_file(GOLDEN / "a2_2d_allmodes.safetensors")
    weight = original["blocks.0.mlp.0.weight"].flatten(1)
    assert torch.equal(tensors["layers.0.fc1.weight"].flatten(1), weight)
