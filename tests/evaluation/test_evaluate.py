"""results.json: the numbers, their baselines and where they came from."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, EnvironmentFault, ModelError, RecipeError
from pdefm.evaluation.compare import equal_bit_for_bit, read_results
from pdefm.evaluation.evaluate import evaluate, evaluate_dataset
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.hub.evaluation import evaluate_by_name
from pdefm.metrics import METRICS
from pdefm.models.loading import load_model
from tests.tiny import waves, write_waves

NUM_FRAMES = 8


def collection(num=3, num_frames=NUM_FRAMES, names=("velocity_x", "velocity_y"), seed=5):
    fields = torch.from_numpy(waves(num, num_frames, len(names), 16, 16, seed=seed))
    return MemoryCollection(
        [
            Trajectory(
                fields=part,
                names=names,
                grid=Grid.regular((16, 16)),
                times=0.25 * torch.arange(num_frames, dtype=torch.float64),
                units=("m/s",) * len(names),
                source=Source("air", i),
            )
            for i, part in enumerate(fields)
        ]
    )


@pytest.fixture
def contender(tiny_run):
    return Contender(*load_model(tiny_run.model))


def test_persistence_equals_a_computation_by_hand(contender):
    data = collection()
    found = evaluate_dataset("air", data, {"model": contender}, Protocol(history=3))
    still = found["baselines"]["persistence"]
    u = np.stack([t.fields.numpy() for t in data]).astype(np.float64)
    last, truth = u[:, 2:3], u[:, 3:]
    axes = (3, 4)
    error = np.square(truth - last).sum(axes)
    l2 = np.sqrt(error / np.square(truth).sum(axes))
    spread = np.square(truth - truth.mean(axes, keepdims=True)).sum(axes)
    assert still["relative_l2"] == pytest.approx(l2.mean(), rel=1e-5)
    assert still["nrmse"] == pytest.approx(l2.mean(), rel=1e-5)
    assert still["vrmse"] == pytest.approx(np.sqrt(error / spread).mean(), rel=1e-5)
    assert still["max_error"] == pytest.approx(np.abs(truth - last).max(axes).mean(), rel=1e-5)
    curve = still["per_step"]["relative_l2"]
    by_trajectory = l2.mean(2)
    assert curve["mean"] == pytest.approx(by_trajectory.mean(0), rel=1e-5)
    assert curve["p90"] == pytest.approx(np.quantile(by_trajectory, 0.9, axis=0), rel=1e-5)


def test_a_trend_that_goes_on_is_extrapolated_exactly_and_rollouts_are_measured_whole(contender):
    first = collection()[0]
    steps = torch.arange(NUM_FRAMES).view(-1, 1, 1, 1)
    data = MemoryCollection([replace(first, fields=first.fields[:1] * (1 + 0.1 * steps))])
    found = evaluate_dataset("air", data, {"model": contender}, Protocol(history=3))
    trend = found["baselines"]["linear_extrapolation"]
    assert trend["relative_l2"] < 1e-5
    assert trend["sobolev_1"] < 1e-5
    assert trend["correlation_time"] == NUM_FRAMES - 3
    still = found["baselines"]["persistence"]
    growth = 1 + 0.1 * np.arange(3, NUM_FRAMES)
    error = np.sqrt(np.square(growth - 1.2).sum() / np.square(growth).sum())
    assert still["rollout_relative_l2"] == pytest.approx(error, rel=1e-4)
    assert still["conservation_drift"] == pytest.approx(0, abs=1e-6)
    bands = [still[f"{band}_band"] for band in ("low", "mid", "high")]
    assert 0 < np.sqrt(np.square(bands).sum()) <= still["relative_l2"] * 1.001
    assert len(found["per_trajectory"]["relative_l2"]) == 1


def test_the_model_is_measured_on_its_rollout(contender):
    from pdefm.evaluation.rollout import rollout
    from pdefm.metrics import relative_l2

    data = collection()
    protocol = Protocol(history=3, num_steps=4, start_frame=1)
    found = evaluate_dataset("air", data, {"model": contender}, protocol)
    errors = [
        relative_l2(
            rollout(contender.model, contender.processor, t.frames(1, 4), 4).fields[None],
            t.fields[None, 4:8],
        )
        for t in data
    ]
    whole = torch.cat(errors)
    assert found["metrics"]["relative_l2"] == pytest.approx(float(whole.mean()), rel=1e-4)
    per_field = found["per_field"]["velocity_y"]["relative_l2"]
    assert per_field == pytest.approx(float(whole[:, :, 1].mean()), rel=1e-4)
    assert (found["num_trajectories"], found["num_steps"]) == (3, 4)


def test_a_rollout_that_blows_up_is_counted_and_leaves_the_others_their_numbers(contender):
    class Exploding(torch.nn.Module):
        """Grows the second sample of a batch beyond the finite numbers."""

        def forward(self, history, **_):
            factor = torch.tensor([1.0, 1e30, 1.0]).view(3, 1, 1, 1, 1)
            return SimpleNamespace(prediction=history[:, -1:] * factor)

    exploding = Contender(cast(Any, Exploding()), contender.processor)
    protocol = Protocol(history=3, num_steps=4)
    found = evaluate_dataset("air", collection(), {"bad": exploding, "m": contender}, protocol)
    assert found["metrics"]["relative_l2"] is None
    assert found["metrics"]["blow_up_rate"] == pytest.approx(1 / 3)
    assert [value is None for value in found["per_trajectory"]["relative_l2"]] == [0, 1, 0]
    assert found["baselines"]["m"]["blow_up_rate"] == 0
    json.dumps(found, allow_nan=False)


def test_batches_do_not_change_the_numbers(contender, monkeypatch):
    from pdefm.evaluation import evaluate as module

    whole = evaluate_dataset("air", collection(), {"model": contender}, Protocol(history=3))
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    parts = evaluate_dataset("air", collection(), {"model": contender}, Protocol(history=3))
    assert parts["metrics"] == pytest.approx(whole["metrics"], rel=1e-5)


def test_the_keys_are_those_of_the_house(contender):
    contenders = {"model": contender, "other": contender}
    model = {"name": "tiny"}
    results = evaluate({"air": collection()}, contenders, Protocol(3), model=model, seed=9)
    assert {"seed", "commit", "versions", "command", "created", "hardware"} <= set(results)
    assert (results["seed"], results["model"], results["schema"]) == (9, model, 1)
    assert results["protocol"]["history"] == 3
    assert "mean over trajectories" in results["protocol"]["reduction"]
    found = results["datasets"]["air"]
    assert set(found["metrics"]) >= {"relative_l2", "vrmse", "nrmse"}
    assert set(found["metrics"]) >= set(METRICS)
    assert set(found["baselines"]) == {"persistence", "linear_extrapolation", "other"}
    assert found["baselines"]["other"]["relative_l2"] == found["metrics"]["relative_l2"]
    assert found["names" if "names" in found else "field_names"] == ["velocity_x", "velocity_y"]
    assert (found["resolution"], found["dt"]) == ([16, 16], 0.25)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_only_the_first_trajectories_when_told(contender):
    few = evaluate_dataset("a", collection(), {"m": contender}, Protocol(3, max_trajectories=2))
    same = evaluate_dataset("a", collection()[:2], {"m": contender}, Protocol(3))
    assert few["metrics"] == same["metrics"]


@pytest.mark.parametrize("frame", [1, 5])
def test_data_that_are_not_finite_are_refused(contender, frame):
    data = collection()
    data.trajectories[1].fields[frame, 0, 2, 2] = math.nan
    with pytest.raises(DataError, match=r"air: non-finite values in air\[1\]"):
        evaluate_dataset("air", data, {"model": contender}, Protocol(history=3))


@pytest.mark.parametrize(
    ("num_frames", "protocol"),
    [(3, Protocol(3)), (8, Protocol(3, num_steps=6)), (8, Protocol(3, 5, start_frame=1))],
)
def test_too_few_frames_are_refused(contender, num_frames, protocol):
    with pytest.raises(DataError, match=rf"too few frames .*: got {num_frames} frames"):
        evaluate_dataset("air", collection(2, num_frames), {"model": contender}, protocol)


def test_a_field_that_the_model_does_not_know_is_refused(contender):
    data = collection(names=("velocity_x", "smoke"))
    with pytest.raises(ModelError, match="smoke"):
        evaluate_dataset("air", data, {"model": contender}, Protocol(history=3))


@pytest.fixture
def air(tmp_path):
    path = write_waves(tmp_path / "air.npy", 2, 6, 2, 16, 16)
    return str(path), {"axes": "N T C X Y", "names": "velocity_x,velocity_y"}


def test_two_evaluations_give_the_same_file(tiny_run, air, tmp_path):
    path, options = air
    texts = []
    for name in ("a.json", "b.json"):
        evaluate_by_name(
            str(tiny_run.folder), None, [path], tmp_path / name, options=options, ensemble=2
        )
        content = json.loads((tmp_path / name).read_text())
        for key in ("created", "command", "wall_time_seconds"):
            assert content.pop(key)
        texts.append(json.dumps(content))
    assert texts[0] == texts[1]
    assert equal_bit_for_bit(*(read_results(tmp_path / name) for name in ("a.json", "b.json")))
    results = json.loads((tmp_path / "a.json").read_text())
    assert set(results["datasets"]) == {"air"}
    assert results["model"]["num_parameters"] == tiny_run.summary["num_parameters"]


def test_another_model_joins_the_baselines(tiny_run, air, tmp_path):
    path, options = air
    model = str(tiny_run.model)
    results = evaluate_by_name(
        model, None, [path], tmp_path / "r.json", compare=[f"same={model}"], options=options
    )
    found = results["datasets"]["air"]
    assert found["baselines"]["same"]["vrmse"] == found["metrics"]["vrmse"]


@pytest.mark.parametrize("text", ["nolabel", "model=x", "persistence=x", "label="])
def test_a_wrong_comparison_is_refused(tiny_run, air, tmp_path, text):
    path, options = air
    with pytest.raises(RecipeError, match="--compare takes LABEL=MODEL"):
        evaluate_by_name(
            str(tiny_run.model), None, [path], tmp_path / "r.json", compare=[text], options=options
        )
    assert not (tmp_path / "r.json").exists()


def test_two_datasets_of_one_name_do_not_replace_each_other(tiny_run, air, tmp_path):
    path, options = air
    with pytest.raises(RecipeError, match="two datasets have one name: got 'air'"):
        evaluate_by_name(
            str(tiny_run.model), None, [path, path], tmp_path / "r.json", options=options
        )
    assert not (tmp_path / "r.json").exists()


def test_an_existing_file_is_kept(tiny_run, air, tmp_path):
    path, options = air
    (tmp_path / "r.json").write_text("mine")
    model = str(tiny_run.model)
    with pytest.raises(EnvironmentFault, match="exists"):
        evaluate_by_name(model, None, [path], tmp_path / "r.json", options=options)
    assert (tmp_path / "r.json").read_text() == "mine"
    evaluate_by_name(model, None, [path], tmp_path / "r.json", options=options, overwrite=True)
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == 1
