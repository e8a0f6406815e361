"""Grids that are neither square nor a power of two train, are saved, and infer; also in 3-D."""

import numpy as np
import pytest
import torch

from pdefm.config import section_from_dict
from pdefm.data.open import open_trajectories
from pdefm.evaluation.rollout import rollout
from pdefm.models.loading import load_model
from pdefm.train.checkpoint import latest_checkpoint
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe
from tests.tiny import tiny_values, waves


def write(folder, name, size):
    """Travelling waves on this grid, as a source of a recipe."""
    fields = waves(3, 7, 1, *size[:2])
    if len(size) == 3:
        depth = np.cos(2 * np.pi * np.arange(size[2]) / size[2])
        fields = (fields[..., None] * (2 + depth)).astype(np.float32)
    np.save(folder / f"{name}.npy", fields)
    axes = "N T C " + " ".join("XYZ"[: len(size)])
    return {"name": name, "path": str(folder / f"{name}.npy"), "axes": axes,
            "names": ["height"], "dt": 0.1, "boundary": "periodic"}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "other"), [((64, 96), (48, 48)), ((48, 48), (64, 96)), ((32, 32, 32), (16, 32, 24))]
)
def test_a_grid_trains_and_another_one_is_predicted(tmp_path, size, other):
    values = tiny_values([write(tmp_path, "seen", size)], max_steps=2, save_steps=2, eval_steps=2)
    values["model"]["patch_size"] = 8
    values["model"]["num_modes"] = 3
    recipe = section_from_dict(PretrainRecipe, values)
    summary = pretrain(recipe, tmp_path / "run")
    assert np.isfinite(summary["validation"]["seen"])
    found = latest_checkpoint(tmp_path / "run")
    assert found is not None
    model, processor = load_model(found[1] / "model")
    for grid in (size, other):
        source = write(tmp_path, "asked", grid)
        trajectory = open_trajectories(
            source["path"], "auto", axes=source["axes"], names=["height"], dt=0.1,
            boundary="periodic",
        )[0]  # fmt: skip
        predicted = rollout(model, processor, trajectory, 2)
        assert predicted.fields.shape == (2, 1, *grid)
        assert torch.isfinite(predicted.fields).all()
        assert not torch.equal(predicted.fields[0], trajectory.fields[-1])
