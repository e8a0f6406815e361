"""results.json of adapters that do not forecast, and of data that an adapter was trained on."""

import pytest
import torch

from pdefm.adapters import save_adapter
from pdefm.data.batch import collate
from pdefm.data.collection import MemoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, RecipeError
from pdefm.evaluation import evaluate_task as module
from pdefm.evaluation.evaluate_task import evaluate_task
from pdefm.hub.evaluation import evaluate_by_name
from pdefm.hub.rollout import rollout_by_name
from pdefm.train.finetune import finetune
from tests.tiny import tiny_finetune, write_waves
from tests.tiny_dpot import adapted_model, make_task, task_adapter, tiny_model


def trajectories(count=5, num_frames=4, **changes):
    random = torch.Generator().manual_seed(1)
    return MemoryCollection(
        [
            Trajectory(
                **{
                    "fields": torch.rand(num_frames, 2, 16, 16, generator=random),
                    "names": ("density", "pressure"),
                    "grid": Grid.regular((16, 16)),
                    "times": torch.arange(num_frames) * 0.1,
                    "parameters": {"viscosity": 0.5 + i},
                    **changes,
                }
            )
            for i in range(count)
        ]
    )


def found(collection, **options):
    described = {"name": "tiny"}
    model = adapted_model("inverse")
    task = make_task("inverse")
    return evaluate_task({"lake": collection}, model, task, described=described, **options)


def test_the_numbers_are_those_of_the_task(monkeypatch):
    monkeypatch.setattr(module, "BATCH_SIZE", 5)
    data, task = trajectories(), make_task("inverse")
    results = found(data)
    batch = collate([data.read(i, 0, 3) for i in range(5)], history=3)
    prepared = task.prepare(batch)
    expected = task.metrics(task.predict(adapted_model("inverse"), prepared), prepared)
    entry = results["datasets"]["lake"]
    for name, values in expected.items():
        assert entry["metrics"][name] == pytest.approx(float(values.detach().mean()), rel=1e-5)
    assert entry["metrics"].keys() == results["definitions"].keys()
    assert set(results["wall_time_seconds"]["datasets"]) == {"lake"}
    assert set(entry["baselines"]) == {"mean"}
    assert (entry["num_trajectories"], entry["num_frames"]) == (5, 3)
    assert results["protocol"]["task_options"]["parameters"] == ["viscosity"]


def test_data_that_cannot_serve_the_task_are_refused():
    with pytest.raises(DataError, match="needs 3 frames"):
        found(trajectories(num_frames=2))
    with pytest.raises(DataError, match="viscosity"):
        found(trajectories(parameters={}))
    with pytest.raises(DataError, match="non-finite"):
        found(trajectories(fields=torch.full((4, 2, 16, 16), float("nan"))))


@pytest.fixture
def inverse_folders(tmp_path):
    tiny_model().save_pretrained(tmp_path / "base")
    processor = make_task("inverse").processor
    processor.save_pretrained(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    model = adapted_model("inverse")
    save_adapter(tmp_path / "adapter", task_adapter("inverse"), model, processor)
    path = write_waves(tmp_path / "lake.npy", 2, 6, 2, 16, 16)
    return str(tmp_path / "base"), str(tmp_path / "adapter"), str(path)


def test_forecasts_cannot_be_had_from_an_adapter_that_does_not_forecast(inverse_folders, tmp_path):
    base, adapter, data = inverse_folders
    options = {"axes": "N T C X Y", "names": "density,pressure"}
    with pytest.raises(RecipeError, match="does not forecast: got task inverse"):
        rollout_by_name(base, adapter, data, tmp_path / "r.hdf5", num_steps=2, options=options)
    with pytest.raises(RecipeError, match="are for forecasts"):
        evaluate_by_name(base, adapter, [data], tmp_path / "r.json", num_steps=2, options=options)
    assert not list(tmp_path.glob("r.*"))


def test_of_its_own_training_data_an_adapter_is_measured_on_what_was_held_out(tiny_run, tmp_path):
    lake = write_waves(tmp_path / "lake.npy", 6, 8, 1, 16, 16, seed=7)
    described = {"axes": "N T C X Y", "names": ["height"], "dt": 0.5}
    source = {"name": "lake", "path": str(lake), "validation_fraction": 0.3, **described}
    finetune(tiny_finetune(tiny_run.model, source), tiny_run.model, tmp_path / "run")
    options = described | {"names": "height"}
    other = write_waves(tmp_path / "other.npy", 6, 8, 1, 16, 16, seed=8)
    results = evaluate_by_name(
        str(tiny_run.model),
        str(tmp_path / "run"),
        [str(lake), str(other)],
        tmp_path / "results.json",
        options=options,
    )
    counts = {name: entry["num_trajectories"] for name, entry in results["datasets"].items()}
    assert counts == {"lake": 2, "other": 6}
