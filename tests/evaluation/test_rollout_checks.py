"""Ensembles, and rollouts that should not be believed."""

from dataclasses import replace

import pytest
import torch

from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError
from pdefm.evaluation.rollout import rollout, rollout_ensemble
from pdefm.evaluation.rollout_checks import broken_rules, check_rollout
from tests.tiny_dpot import tiny_model, tiny_processor


def history(num_frames=3):
    random = torch.Generator().manual_seed(1)
    return Trajectory(
        fields=torch.randn(num_frames, 2, 16, 16, generator=random),
        names=("density", "pressure"),
        grid=Grid.regular((16, 16)),
        times=torch.arange(num_frames) * 0.1,
    )


def quiet_model():
    model = tiny_model()
    for weight in model.decoder.parameters():
        weight.data *= 0.1
    return model


def test_an_ensemble_of_one_without_noise_is_the_rollout():
    model, processor = quiet_model(), tiny_processor()
    (member,) = rollout_ensemble(model, processor, history(), 3, 1, noise_fraction=0.0)
    assert torch.equal(member.fields, rollout(model, processor, history(), 3).fields)


def test_members_differ_by_the_noise_and_a_seed_repeats_them():
    model, processor = quiet_model(), tiny_processor()
    first, second, other = (
        rollout_ensemble(model, processor, history(), 2, 5, noise_fraction=e, seed=s)
        for e, s in ((0.02, 0), (0.02, 0), (0.02, 1))
    )
    stacked = torch.stack([member.fields for member in first])
    assert stacked.shape == (5, 2, 2, 16, 16)
    assert torch.equal(stacked, torch.stack([m.fields for m in second]))
    assert not torch.equal(stacked, torch.stack([m.fields for m in other]))
    small = rollout_ensemble(model, processor, history(), 2, 5, noise_fraction=0.002)
    narrow = torch.stack([member.fields for member in small]).std(0).mean()
    assert stacked.std(0).mean().item() == pytest.approx(10 * narrow.item(), rel=0.1)


def test_the_mean_of_an_ensemble_is_what_rollout_returns():
    model, processor = quiet_model(), tiny_processor()
    members = rollout_ensemble(model, processor, history(), 2, 4)
    mean = torch.stack([member.fields for member in members]).mean(0)
    assert torch.equal(rollout(model, processor, history(), 2, ensemble=4).fields, mean)


def test_an_ensemble_has_members():
    with pytest.raises(DataError, match="at least one member"):
        rollout_ensemble(quiet_model(), tiny_processor(), history(), 2, 0)


def found(fields, boundary=BoundaryCondition.PERIODIC):
    known = replace(history(), boundary=uniform_boundary(boundary, 2))
    prediction = replace(known, fields=fields, times=torch.arange(len(fields)) + 1.0)
    return check_rollout(known, prediction, tiny_processor())


def test_frames_like_the_history_break_no_rule():
    checks = found(history().fields)
    assert set(checks) == {"energy", "range", "drift"}
    assert broken_rules(checks) == []


def test_each_rule_names_the_field_and_the_first_step():
    frames = history().fields.clone()
    frames[1:, 0] *= 5.0
    assert found(frames)["energy"] == {"density": 2, "pressure": None}
    frames = history().fields.clone()
    frames[2, 1, 3, 3] = 0.5 + 25.0  # 12 deviations of 2
    assert found(frames)["range"] == {"density": None, "pressure": 3}
    frames = history().fields.clone()
    frames[:, 1] += 0.8
    checks = found(frames)
    assert checks["drift"] == {"density": None, "pressure": 1}
    assert broken_rules(checks) == ["pressure, step 1: its mean has moved by more than 0.5 times"
                                    " the RMS"]  # fmt: skip


def test_between_walls_a_mean_may_move():
    assert "drift" not in found(history().fields + 0.8, BoundaryCondition.WALL)
