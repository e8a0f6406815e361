"""Time step, boundaries and parameters reach the blocks when they are known."""

import pytest
import torch

from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model, save_model
from tests.tiny_dpot import frames, tiny_config, tiny_model, tiny_processor

CONDITIONS = ["dt", "boundary", "viscosity"]
PERIODIC = uniform_boundary(BoundaryCondition.PERIODIC, 2)
WALLS = (PERIODIC[0], (BoundaryCondition.WALL, BoundaryCondition.OPEN))
GIVEN = {
    "dt": torch.tensor([0.3, -1.0]),
    "boundary": PERIODIC,
    "parameters": {"viscosity": torch.tensor([1.0, 2.0])},
}
STATISTICS = {
    "dt": {"log": True, "mean": -1.0, "std": 0.5},
    "boundary": {},
    "viscosity": {"log": False, "mean": 2.0, "std": 4.0},
}


def predict(model, **inputs):
    return model(frames(), **inputs).prediction


def far(a, b):
    return (a - b).norm() > 1e-3 * b.norm()


@torch.no_grad()
def forget(model, name):
    """Nothing comes from this condition any more."""
    module = model.conditioning
    if name == "boundary":
        module.side.zero_()
    else:
        row = ["dt", "parameters"].index(name)
        module.weight[row], module.bias[row] = 0.0, 0.0  # silu(0) = 0


def test_an_untrained_model_does_not_listen_yet():
    model = DPOTModel(tiny_config(conditions=CONDITIONS, prediction="state")).eval()
    assert torch.equal(predict(model, **GIVEN), predict(model))


@pytest.mark.parametrize("name", ["dt", "boundary", "parameters"])
def test_each_condition_reaches_the_prediction_and_may_be_left_out(name):
    model = tiny_model(conditions=CONDITIONS)
    others = {k: v for k, v in GIVEN.items() if k != name}
    whole, without = predict(model, **GIVEN), predict(model, **others)
    assert without.isfinite().all()
    assert far(whole, without)
    forget(model, name)
    assert torch.equal(predict(model, **GIVEN), without)  # it came in by its own weights only


@pytest.mark.parametrize("given", [GIVEN, {"dt": GIVEN["dt"]}, {"boundary": WALLS}, {}])
def test_the_condition_is_the_sum_that_its_docstring_states(given):
    module = tiny_model(conditions=CONDITIONS).conditioning
    names, kinds = ["dt", "viscosity"], list(BoundaryCondition)
    scalars = {**given.get("parameters", {}), **({"dt": given["dt"]} if "dt" in given else {})}
    expected = torch.zeros(2, module.weight.shape[1])
    for k, name in enumerate(names):
        if name in scalars:
            z = scalars[name][:, None] * module.weight[k] + module.bias[k]
            expected = expected + z / (1 + (-z).exp())
    sides = [side for pair in given.get("boundary", ()) for side in pair]
    for s, side in enumerate(sides):
        expected = expected + module.side[s, kinds.index(side)]
    condition = module(scalars, given.get("boundary"), torch.zeros(2, 4, 4, 16))
    torch.testing.assert_close(condition, expected.expand(len(condition), -1))


def test_a_layer_scales_and_shifts_after_both_norms_by_what_its_docstring_states():
    layer = tiny_model(conditions=CONDITIONS).layers[0]
    latent, condition = torch.randn(2, 4, 4, 16), torch.randn(2, 64)
    condition = condition[:, : layer.condition_modulation.weight.shape[1]]
    values = condition @ layer.condition_modulation.weight.T  # [B, 4 D]
    scale1, shift1, scale2, shift2 = (part[:, None, None] for part in values.chunk(4, -1))
    update = layer.norm2(layer.mixer((1 + scale1) * layer.norm1(latent) + shift1))
    update = layer.fc1((1 + scale2) * update + shift2)
    expected = latent + layer.fc2(layer.activation(update))
    torch.testing.assert_close(layer(latent, condition), expected)


def test_the_value_of_a_condition_counts_sample_by_sample():
    model = tiny_model(conditions=CONDITIONS)
    one, other = (predict(model, dt=torch.tensor([0.3, value])) for value in (0.5, 2.0))
    assert torch.equal(one[0], other[0])
    assert far(one[1], other[1])
    with torch.no_grad():
        model.conditioning.weight[0] = 0.0  # what a value is multiplied with
    one, other = (predict(model, dt=torch.tensor([0.3, value])) for value in (0.5, 2.0))
    assert torch.equal(one, other)


def test_every_side_of_the_domain_counts():
    model = tiny_model(conditions=["boundary"])
    sides = [WALLS, tuple(reversed(WALLS)), ((WALLS[1][1], WALLS[1][0]), WALLS[0])]
    predictions = [predict(model, boundary=boundary) for boundary in sides]
    assert far(predictions[0], predictions[1])
    assert far(predictions[1], predictions[2])
    with torch.no_grad():
        model.conditioning.side[:] = model.conditioning.side[:, :1]  # every kind the same
    first, *others = (predict(model, boundary=boundary) for boundary in sides)
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.parametrize("side", range(4))
def test_one_side_of_another_kind_is_another_prediction(side):
    model = tiny_model(conditions=["boundary"])
    kinds = [BoundaryCondition.WALL] * 4
    kinds[side] = BoundaryCondition.OPEN
    changed = ((kinds[0], kinds[1]), (kinds[2], kinds[3]))
    walls = uniform_boundary(BoundaryCondition.WALL, 2)
    assert far(predict(model, boundary=changed), predict(model, boundary=walls))
    with torch.no_grad():
        table = model.conditioning.side[side]
        table[:] = table[:1].clone()
    assert torch.equal(predict(model, boundary=changed), predict(model, boundary=walls))


def test_what_a_model_is_not_conditioned_on_changes_nothing():
    assert torch.equal(predict(tiny_model(), **GIVEN), predict(tiny_model()))
    model = tiny_model(conditions=["dt"])
    other = {"viscosity": torch.ones(2), "density": torch.ones(2)}
    assert torch.equal(predict(model, parameters=other), predict(model))


def test_every_weight_takes_part_in_the_gradient_even_if_nothing_is_known():
    model = tiny_model(conditions=CONDITIONS, mask_channel=True).train()
    predict(model).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_processor_normalises_what_it_knows_and_leaves_out_the_rest():
    processor = tiny_processor(conditions=STATISTICS)
    inputs = processor.conditions_of(
        dt=torch.tensor([1.0]),
        boundary=WALLS,
        parameters={"viscosity": torch.tensor([4.0]), "density": torch.tensor([1.0])},
    )
    assert inputs.keys() == {"dt", "boundary", "parameters"}
    torch.testing.assert_close(inputs["dt"], torch.tensor([2.0]))
    assert inputs["boundary"] == WALLS
    assert inputs["parameters"] == {"viscosity": torch.tensor([0.5])}
    assert processor.conditions_of() == {}
    assert tiny_processor().conditions_of(dt=torch.tensor([1.0]), boundary=WALLS) == {}


def test_a_time_step_of_zero_is_refused():
    with pytest.raises(DataError, match="dt must be positive: got 0"):
        tiny_processor(conditions=STATISTICS).conditions_of(dt=torch.tensor([0.0]))


def test_a_saved_folder_remembers_its_conditions(tmp_path):
    trajectory = Trajectory(
        fields=torch.randn(3, 2, 16, 16),
        names=("density", "pressure"),
        grid=Grid.regular((16, 16)),
        times=0.1 * torch.arange(3),
        parameters={"viscosity": 3.0},
    )
    processor = tiny_processor(conditions=STATISTICS)
    model = tiny_model(conditions=CONDITIONS)
    save_model(tmp_path, model, processor)
    loaded, its_processor = load_model(tmp_path)
    inputs = its_processor(trajectory)
    assert {"dt", "boundary", "parameters"} <= inputs.keys()
    expected = model(**processor(trajectory)).prediction
    assert torch.equal(loaded(**inputs).prediction, expected)
