"""Ensembles from perturbed histories, and histories that are longer than a model takes."""

import pytest
import torch

from pdefm.errors import DataError, RecipeError
from pdefm.evaluation import evaluate as module
from pdefm.evaluation.evaluate import evaluate, evaluate_dataset
from pdefm.evaluation.protocol import Contender, Protocol, sample_seed
from pdefm.evaluation.rollout import rollout_ensemble
from pdefm.metrics import relative_l2
from pdefm.models.loading import load_model
from pdefm.rollout_metrics import crps, spread_skill
from tests.evaluation.test_evaluate import collection

THREE = Protocol(history=3, num_steps=3, ensemble=3)


@pytest.fixture
def contender(tiny_run):
    return Contender(*load_model(tiny_run.model), noise=0.05)


def found(contender, protocol=THREE, seed=7, data=None):
    return evaluate_dataset("air", data or collection(), {"model": contender}, protocol, seed)


def test_an_ensemble_is_measured_as_by_hand(contender):
    entry = found(contender)
    scores = {"relative_l2": [], "crps": [], "spread_skill": []}
    for i, truth in enumerate(collection()):
        members = rollout_ensemble(
            *(contender.model, contender.processor, truth.frames(0, 3), 3, 3),
            noise_fraction=0.05,
            seed=sample_seed(7, i),
        )
        frames = torch.stack([member.fields for member in members])[:, None]
        target = truth.fields[None, 3:6]
        scores["relative_l2"].append(relative_l2(frames.mean(0), target))
        scores["crps"].append(crps(frames, target))
        scores["spread_skill"].append(spread_skill(frames, target))
    for name, parts in scores.items():
        values = torch.cat(parts)
        assert entry["metrics"][name] == pytest.approx(float(values.mean()), rel=1e-4)
        assert entry["per_step"][name]["mean"] == pytest.approx(values.mean((0, 2)), rel=1e-4)
        assert entry["per_trajectory"][name] == pytest.approx(values.mean((1, 2)), rel=1e-4)
        by_field = [entry["per_field"][field][name] for field in entry["field_names"]]
        assert by_field == pytest.approx(values.mean((0, 1)), rel=1e-4)


def test_what_needs_no_model_has_a_crps_too_which_is_its_absolute_error(contender):
    still = found(contender)["baselines"]["persistence"]
    u = torch.stack([t.fields for t in collection()])
    assert still["crps"] == pytest.approx(float((u[:, 3:6] - u[:, 2:3]).abs().mean()), rel=1e-5)
    assert "spread_skill" not in still


def test_the_seed_alone_decides_the_members(contender, monkeypatch):
    whole = found(contender)
    assert found(contender) == whole
    assert found(contender, seed=8)["metrics"]["crps"] != whole["metrics"]["crps"]
    monkeypatch.setattr(module, "BATCH_SIZE", 3)  # one trajectory at a time
    assert found(contender)["metrics"] == pytest.approx(whole["metrics"], rel=1e-4)


def test_the_noise_is_that_of_each_training_unless_one_is_given(contender):
    given = Protocol(history=3, num_steps=3, ensemble=3, noise=0.05)
    silent = Contender(contender.model, contender.processor, noise=0.0)
    assert found(silent, given)["metrics"] == found(contender)["metrics"]
    with pytest.raises(RecipeError, match=r"trained without: got 0\.0\. Give the noise"):
        found(silent)
    results = evaluate({"air": collection()}, {"model": contender}, THREE, model={})
    assert results["protocol"]["noise"] == {"model": 0.05}


def test_a_model_is_given_the_last_frames_of_a_longer_history(contender):
    longer = found(contender, Protocol(history=5, num_steps=2))
    later = found(contender, Protocol(history=3, start_frame=2, num_steps=2))
    assert longer["metrics"] == later["metrics"]
    short = Protocol(history=contender.processor.min_history - 1)
    with pytest.raises(DataError, match="the model needs 3 frames of history: got 2"):
        found(contender, short)


def test_only_the_first_fields_count_and_a_stored_mask_goes_to_no_model_that_lacks_it(contender):
    both = found(contender, Protocol(history=3))
    one = found(contender, Protocol(history=3, num_fields=1))
    assert one["metrics"] == pytest.approx(both["per_field"]["velocity_x"], rel=1e-5)
    assert list(one["per_field"]) == ["velocity_x"]
    masked = collection(names=("velocity_x", "velocity_y", "mask"))
    counted = found(contender, Protocol(history=3, num_fields=2), data=masked)
    assert counted["metrics"].keys() == both["metrics"].keys()


def test_every_number_has_its_definition_and_its_time_beside_it(contender):
    protocol = Protocol(history=3, ensemble=2, metrics=("dpot_128_l2re", "crps", "spread_skill"))
    data = {"air": collection(), "lake": collection(seed=6)}
    own = {"lake": Protocol(history=3, ensemble=2, num_steps=2, metrics=protocol.metrics)}
    results = evaluate(data, {"model": contender}, protocol, model={}, own=own)
    for entry in results["datasets"].values():
        assert entry["metrics"].keys() == results["definitions"].keys()
    assert list(results["definitions"]) == results["protocol"]["metrics"]
    assert results["protocol"]["datasets"] == {"lake": {"num_steps": 2}}
    taken = results["wall_time_seconds"]
    assert set(taken["datasets"]) == {"air", "lake"}
    assert taken["total"] == pytest.approx(sum(taken["datasets"].values()), abs=2e-3)
    assert taken["total"] > 0
