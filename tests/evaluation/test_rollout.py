"""Auto-regressive rollout in physical units."""

import math

import pytest
import torch
from torch import nn

from pdefm.data.trajectory import Trajectory
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError, ModelError, NumericalError
from pdefm.evaluation.rollout import rollout, stream_rollout
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel, DPOTOutput
from pdefm.models.processing_pde import PDEProcessor
from tests.tiny import MODEL, waves

NAMES = ("height", "speed")
FIELDS = {
    "height": {"unit": "m", "mean": 2.0, "std": 0.5},
    "speed": {"unit": "m/s", "mean": -1.0, "std": 4.0},
}


def make_processor(horizon=1, history=3):
    return PDEProcessor(fields=FIELDS, history=history, horizon=horizon)


def make_model(horizon=1, trained=True):
    torch.manual_seed(0)
    model = DPOTModel(DPOTConfig(field_names=list(NAMES), **MODEL, horizon=horizon))
    if trained:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def make_trajectory(num_frames=5, **changes):
    content = {
        "fields": torch.from_numpy(waves(1, num_frames, 2, 16, 16)[0]),
        "names": NAMES,
        "units": ("m", "m/s"),
        "grid": Grid.regular((16, 16)),
        "times": 1.0 + 0.25 * torch.arange(num_frames, dtype=torch.float64),
    }
    return Trajectory(**(content | changes))


class Counting(nn.Module):
    """Predicts, in normalised values, the last frame plus 1, 2, ... and keeps what it saw."""

    def __init__(self, horizon, limit=math.inf):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.horizon, self.limit, self.seen = horizon, limit, []

    def forward(self, history, field_names, mask=None):
        self.seen.append(history)
        last = history[:, -1:]
        frames = torch.cat([last + i + 1 for i in range(self.horizon)], 1)
        return DPOTOutput(prediction=frames.masked_fill(frames > self.limit, math.inf))


def still(num_frames=5):
    """Every field at its mean: 0 in normalised values."""
    mean = torch.tensor([FIELDS[name]["mean"] for name in NAMES])
    return make_trajectory(
        num_frames, fields=mean.view(1, 2, 1, 1).expand(num_frames, 2, 16, 16).clone()
    )


def test_frames_continue_shape_names_units_and_times():
    trajectory = make_trajectory(5)
    prediction = rollout(make_model(), make_processor(), trajectory, 4)
    assert prediction.fields.shape == (4, 2, 16, 16)
    assert prediction.times.tolist() == [2.25, 2.5, 2.75, 3.0]
    assert (prediction.names, prediction.units) == (NAMES, ("m", "m/s"))
    assert prediction.grid == trajectory.grid
    assert str(trajectory.source) in str(prediction.source)


@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("num_steps", [1, 4, 6])
def test_every_step_counts_once_in_physical_units(horizon, num_steps):
    prediction = rollout(Counting(horizon), make_processor(horizon), still(), num_steps)
    for channel, name in enumerate(NAMES):
        expected = [FIELDS[name]["mean"] + FIELDS[name]["std"] * (i + 1) for i in range(num_steps)]
        assert prediction.fields[:, channel, 3, 5].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("horizon", "history"), [(2, 3), (3, 3), (5, 3)])
def test_the_model_always_sees_the_last_history(horizon, history):
    model = Counting(horizon)
    rollout(model, make_processor(horizon, history), still(), 2 * horizon)
    seen = [window[0, :, 0, 0, 0].tolist() for window in model.seen]
    frames = [0.0] * history + [float(i + 1) for i in range(horizon)]
    assert seen == [frames[:history], frames[-history:]]


def test_it_equals_a_loop_by_hand():
    model, processor, trajectory = make_model(), make_processor(), make_trajectory(6)
    scale = processor.scale(trajectory.fields[None], NAMES)
    window = scale.normalize(trajectory.fields[None, -3:])
    expected = []
    with torch.no_grad():
        for _ in range(3):
            frame = model(history=window, field_names=NAMES).prediction
            expected.append(scale.denormalize(frame)[0, 0])
            window = torch.cat([window[:, 1:], frame], 1)
    found = rollout(model, processor, trajectory, 3).fields
    torch.testing.assert_close(found, torch.stack(expected))
    assert not torch.allclose(found[0], trajectory.fields[-1])


def test_an_untrained_increment_model_is_persistence():
    trajectory = make_trajectory()
    model, processor = make_model(trained=False), make_processor()
    found = rollout(model, processor, trajectory, 3).fields
    scale = processor.scale(trajectory.fields[None], NAMES)
    last = scale.denormalize(scale.normalize(trajectory.fields[None, -1:]))[0]
    assert torch.equal(found[0], last[0])
    torch.testing.assert_close(found, trajectory.fields[-1:].expand(3, -1, -1, -1))


def test_more_frames_than_the_history_do_not_matter():
    model, processor, trajectory = make_model(), make_processor(), make_trajectory(7)
    short = rollout(model, processor, trajectory.frames(4, 7), 2)
    assert torch.equal(rollout(model, processor, trajectory, 2).fields, short.fields)


def test_only_the_last_frames_must_be_finite():
    trajectory = make_trajectory(6)
    trajectory.fields[0] = math.nan
    rollout(make_model(), make_processor(), trajectory, 1)
    trajectory.fields[3, 1, 2, 2] = math.nan
    with pytest.raises(DataError, match="non-finite values in the history"):
        rollout(make_model(), make_processor(), trajectory, 1)


def test_a_short_history_is_refused():
    with pytest.raises(DataError, match="needs 3 frames of history: got 2"):
        rollout(make_model(), make_processor(), make_trajectory(2), 1)


@pytest.mark.parametrize("num_steps", [0, -3])
def test_no_steps_are_refused(num_steps):
    with pytest.raises(DataError, match=f"at least one step: got {num_steps}"):
        rollout(make_model(), make_processor(), make_trajectory(), num_steps)


def test_an_unknown_field_is_refused():
    trajectory = make_trajectory(names=("height", "sped"))
    with pytest.raises(ModelError, match=r"'sped'.*speed"):
        rollout(make_model(), make_processor(), trajectory, 1)


@pytest.mark.parametrize("horizon", [1, 2])
def test_leaving_the_finite_numbers_names_the_step(horizon):
    with pytest.raises(NumericalError, match="finite numbers at step 4 of 9") as found:
        rollout(Counting(horizon, limit=3.5), make_processor(horizon), still(), 9)
    assert found.value.exit_status == 6


class FirstPoint(nn.Module):
    """Marks the first point of the grid that it is shown, as the seams of patches would."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, history, field_names=None, mask=None):
        prediction = history[:, -1:].clone()
        prediction[..., 0, 0] += 1.0
        return DPOTOutput(prediction=prediction)


@pytest.mark.parametrize("shift_invariant", [True, False])
def test_the_grid_moves_between_steps_only_after_training_on_shifts(shift_invariant):
    processor = make_processor()
    processor.shift_invariant = shift_invariant
    start = make_trajectory()
    prediction = rollout(FirstPoint().eval(), processor, start, 8)
    marked = (prediction.fields[-1] - start.fields[-1])[0] / 0.5 > 0.5  # in units of the std
    assert int(marked.sum()) == (8 if shift_invariant else 1)


def test_an_axis_between_walls_never_moves():
    processor = make_processor()
    processor.shift_invariant = True
    wall = (BoundaryCondition.WALL, BoundaryCondition.WALL)
    start = make_trajectory(boundary=(wall, wall))
    prediction = rollout(FirstPoint().eval(), processor, start, 8)
    marked = (prediction.fields[-1] - start.fields[-1])[0] / 0.5 > 0.5
    assert int(marked.sum()) == 1


def test_the_generator_yields_the_frames_of_the_trajectory_one_by_one():
    model, processor, trajectory = make_model(), make_processor(), make_trajectory(6)
    frames = stream_rollout(model, processor, trajectory, 10**9)
    first = [next(frames) for _ in range(3)]
    assert [tuple(frame.shape) for frame in first] == [(1, 2, 16, 16)] * 3
    assert torch.equal(torch.cat(first), rollout(model, processor, trajectory, 3).fields)


def test_the_generator_refuses_at_once():
    with pytest.raises(DataError, match="needs 3 frames of history: got 2"):
        stream_rollout(make_model(), make_processor(), make_trajectory(2), 1)
