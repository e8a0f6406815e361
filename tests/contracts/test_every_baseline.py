"""What every trained baseline of the table must do; a newcomer is tested by existing."""

import inspect
from pathlib import Path

import pytest
import torch

import pdefm.baselines
from pdefm.baselines import BASELINES
from pdefm.baselines.base import Baseline, Demands, count_weights
from tests.tiny_dpot import tiny_config

PARTS = {"__init__", "base", "channels", "train"}
NAMES = ("height", "velocity_x")

every_baseline = pytest.mark.parametrize("name", sorted(BASELINES))


def demands(grid=(16, 16), num_weights=40_000, **changes):
    content = {
        "field_names": NAMES,
        "history": 3,
        "horizon": 2,
        "grid": grid,
        "periodic": (True,) * len(grid),
        "has_mask": False,
        "conditions": (),
        "subject": tiny_config(horizon=2, num_dims=len(grid), position_size=None),
        "num_weights": num_weights,
    }
    return Demands(**(content | changes))


def build(name, wanted, seed=0):
    torch.manual_seed(seed)
    return BASELINES[name]().build(wanted)


def history(grid, batch=2):
    return torch.randn(batch, 3, 2, *grid, generator=torch.Generator().manual_seed(1))


def test_every_file_is_a_part_or_in_the_table():
    files = {path.stem for path in Path(pdefm.baselines.__file__).parent.glob("*.py")}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in BASELINES.targets.values()}
    assert files == PARTS | listed


@every_baseline
def test_it_says_what_it_is(name):
    kind = BASELINES[name]
    assert issubclass(kind, Baseline)
    assert kind.name == name
    assert len(kind.role) > 4
    assert kind.learning_rate > 0
    assert len(inspect.getdoc(kind) or "") > 40
    if kind.library is not None:
        assert "Source: " in inspect.getdoc(kind)
        assert kind().version()


@every_baseline
@pytest.mark.parametrize("grid", [(12,), (16, 20), (4, 8, 8)])
def test_an_untrained_one_repeats_the_last_frame(name, grid):
    built = build(name, demands(grid))
    given = history(grid)
    prediction = built.network(history=given, field_names=NAMES, mask=None).prediction
    assert torch.equal(prediction, given[:, -1:].expand(-1, 2, *given.shape[2:]))


@every_baseline
@pytest.mark.parametrize("periodic", [True, False])
def test_every_weight_learns_and_every_input_counts(name, periodic):
    grid = (16, 20)
    network = build(name, demands(grid, periodic=(periodic, periodic))).network
    for weight in network.parameters():  # away from zeros, where gradients end
        weight.data += 0.05 * torch.randn_like(weight)
    given = history(grid).requires_grad_()
    network(history=given, field_names=NAMES).prediction.square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    seen = given.grad.abs().sum((0, 3, 4))
    assert bool((seen > 0).all()), "every frame and field"
    assert bool(torch.isfinite(given.grad).all())


@every_baseline
def test_the_seed_decides_the_weights(name):
    one, same, other = (build(name, demands(), seed).network for seed in (0, 0, 1))
    pairs = list(zip(one.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@every_baseline
def test_what_lies_outside_of_the_domain_does_not_reach_it(name):
    grid = (16, 16)
    mask = torch.ones(2, *grid, dtype=torch.bool)
    mask[:, 4:8, 4:8] = False
    subject = tiny_config(horizon=2, mask_channel=True)
    network = build(name, demands(grid, has_mask=True, subject=subject)).network
    for weight in network.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    given = history(grid)
    hidden = given.masked_fill(~mask[:, None, None], float("nan"))
    with torch.no_grad():
        one, other = (network(history=h, mask=mask).prediction for h in (given, hidden))
        nowhere = network(history=given, mask=None).prediction
    inside = mask[:, None, None].expand_as(one)
    assert torch.equal(one[inside], other[inside])
    assert not torch.equal(one[inside], nowhere[inside])


@pytest.mark.parametrize("name", ["fno", "unet"])
@pytest.mark.parametrize(
    ("grid", "num_weights"),
    [
        *(((16, 16), 3_000), ((64, 96), 86_000), ((64, 96), 30_000_000)),
        *(((64,), 86_000), ((16, 16, 16), 2_000_000)),
    ],
)
def test_the_number_of_weights_is_near_the_wanted(name, grid, num_weights):
    with torch.device("meta"):
        found = count_weights(build(name, demands(grid, num_weights)).network)
    assert 0.5 < found / num_weights < 2


@pytest.mark.parametrize("name", ["fno", "unet"])
@pytest.mark.parametrize("grid", [(33,), (17, 23), (5, 31), (7, 9, 11)])
def test_odd_grids_come_back_as_they_were(name, grid):
    network = build(name, demands(grid)).network
    torch.nn.init.normal_(next(iter(reversed(list(network.parameters())))))
    prediction = network(history=history(grid)).prediction
    assert prediction.shape == (2, 2, 2, *grid)
    assert bool(torch.isfinite(prediction).all())


def test_a_unet_of_a_periodic_grid_has_no_seam():
    network = build("unet", demands((16, 32))).network
    for weight in network.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    given = history((16, 32))
    with torch.no_grad():
        moved = network(history=given.roll((16,), (4,))).prediction.roll((-16,), (4,))
        stayed = network(history=given).prediction
    assert torch.allclose(moved, stayed, atol=1e-5)
    assert not torch.allclose(stayed, given[:, -1:].expand_as(stayed), atol=1e-2)
