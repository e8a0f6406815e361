"""A model takes any history up to its own, and says in its config what fewer frames mean."""

import pytest
import torch

from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError
from pdefm.evaluation.rollout import rollout
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask
from tests.tiny_dpot import frames, tiny_batch, tiny_model, tiny_processor


@pytest.mark.parametrize("changes", [{}, {"instance_normalization": True}, {"horizon": 2}])
@pytest.mark.parametrize("short_history", ["mask", "repeat"])
@pytest.mark.parametrize("length", [1, 2])
def test_fewer_frames_predict_as_many(changes, short_history, length):
    model = tiny_model(short_history=short_history, **changes)
    whole, short = model(frames()).prediction, model(frames()[:, -length:]).prediction
    assert short.shape == whole.shape
    assert short.isfinite().all()
    assert (short - whole).norm() > 1e-3 * whole.norm()
    # What fewer frames mean, said with a whole history: without weights, or with other frames.
    history, given = frames(), frames()[:, -length:]
    statistics = model._instance_scale(given, None)
    model._instance_scale = lambda *_: statistics  # those of the frames that are given
    if short_history == "mask":
        with torch.no_grad():
            model.time_aggregation.weight[:-length] = 0.0
    else:
        history[:, :-length] = given[:, :1]
    torch.testing.assert_close(model(history).prediction, short)


def test_repeat_is_the_oldest_frame_repeated():
    model = tiny_model(short_history="repeat")
    last = frames()[:, -1:]
    expected = model(last.expand(-1, 3, -1, -1, -1)).prediction
    torch.testing.assert_close(model(last).prediction, expected)


@pytest.mark.parametrize("time_aggregation", ["exp_mlp", "mlp"])
def test_mask_leaves_the_missing_frames_out_of_the_sum(time_aggregation):
    model = tiny_model(short_history="mask", time_aggregation=time_aggregation)
    without_oldest = tiny_model(time_aggregation=time_aggregation)
    with torch.no_grad():
        aggregation = without_oldest.time_aggregation
        aggregation.weight[0] = 0.0
    for i in range(2):
        whole = frames()
        whole[:, 0] = float(i)  # reaches nothing, as its weights are zero
        expected = without_oldest(whole).prediction
        torch.testing.assert_close(model(frames()[:, 1:]).prediction, expected)


def test_training_on_random_lengths_sees_each_of_them_and_the_newest_frames():
    task = ForecastingTask(tiny_processor(), ForecastingOptions(min_history=1, noise_fraction=0.0))
    batch = tiny_batch()
    whole = task.prepare(batch).inputs["history"]
    assert whole.shape[1] == 3
    seen = set()
    for seed in range(40):
        prepared = task.prepare(batch, torch.Generator().manual_seed(seed))
        history = prepared.inputs["history"]
        seen.add(history.shape[1])
        assert torch.equal(history, whole[:, -history.shape[1] :])
    assert seen == {1, 2, 3}


def trajectory(num_frames):
    return Trajectory(
        fields=torch.randn(num_frames, 2, 16, 16),
        names=("density", "pressure"),
        grid=Grid.regular((16, 16)),
        times=torch.arange(num_frames, dtype=torch.float32),
    )


def test_a_rollout_from_one_frame_fills_the_history_as_it_goes():
    model, lengths = tiny_model(), []
    model.patch_embedding.register_forward_hook(
        lambda _module, inputs, _output: lengths.append(inputs[0].shape[1])
    )
    result = rollout(model, tiny_processor(min_history=1), trajectory(1), 5)
    assert result.fields.shape == (5, 2, 16, 16)
    assert lengths == [1, 2, 3, 3, 3]


def test_a_model_that_never_saw_short_histories_does_not_start_from_them():
    with pytest.raises(DataError, match="needs 3 frames of history: got 2"):
        rollout(tiny_model(), tiny_processor(), trajectory(2), 1)
