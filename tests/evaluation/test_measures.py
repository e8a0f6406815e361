"""No number without its definition, and none where it means nothing."""

import pytest
import torch

from pdefm.errors import RecipeError
from pdefm.evaluation.measures import (
    DEFAULT_MEASURES,
    MEASURES,
    Comparison,
    chosen_measures,
    definitions_of,
    measured,
)
from pdefm.metrics import METRICS


def comparison(members=3, space=(16, 16), mask=None):
    random = torch.Generator().manual_seed(0)
    target = torch.randn(2, 4, 3, *space, generator=random)
    rollouts = target + 0.3 * torch.randn(members, *target.shape, generator=random)
    return Comparison(rollouts, target, target[:, :1], mask)


def test_every_metric_has_a_definition_of_its_own():
    texts = [measure.definition for measure in MEASURES.values()]
    assert len(set(texts)) == len(texts)
    assert all(len(text.split()) > 4 and text.endswith(".") for text in texts)
    assert set(METRICS) <= set(MEASURES)
    assert definitions_of(["vrmse"]) == {"vrmse": MEASURES["vrmse"].definition}


@pytest.mark.parametrize("members", [1, 3])
def test_values_are_of_every_trajectory_and_field_and_of_the_ensemble_s_mean(members):
    found, reasons = measured(comparison(members), list(MEASURES))
    assert set(reasons) == ({"spread_skill"} if members == 1 else set())
    for name, values in found.items():
        whole = "rollout" in MEASURES[name].definition or "last frame" in MEASURES[name].definition
        assert values.shape == ((2, 3) if whole else (2, 4, 3)), name
        assert values.isfinite().all()
    one = comparison(members)
    single = Comparison(one.members.mean(0)[None], one.target, one.start)
    expected, _ = measured(single, ["relative_l2", "correlation_time"])
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)


def test_of_a_single_forecast_the_crps_is_the_mean_absolute_error():
    one = comparison(1)
    expected = (one.prediction - one.target).abs().mean((3, 4))
    torch.testing.assert_close(measured(one, ["crps"])[0]["crps"], expected)


def test_points_outside_the_mask_never_count_in_any_metric():
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, 3:9, :5] = False
    clean = comparison(mask=mask)
    hole = ~mask[:, None, None]
    spoilt = Comparison(
        clean.members.masked_fill(hole, torch.nan),
        clean.target.masked_fill(hole, -7.0),
        clean.start.masked_fill(hole, torch.inf),
        mask,
    )
    (found, reasons), (expected, _) = (measured(c, list(MEASURES)) for c in (spoilt, clean))
    assert found.keys() == expected.keys() == MEASURES.keys() - reasons.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, msg=name)
    assert reasons["dpot_128_l2re"] == "it is of data without a mask"


def test_what_needs_a_plane_is_not_measured_on_a_line():
    _, reasons = measured(comparison(space=(16,)), list(MEASURES))
    assert reasons["dpot_128_l2re"] == "it is of two space axes, the data have 1"


def test_relative_l2_is_always_measured_and_protocols_of_their_own_only_when_asked():
    assert "dpot_128_l2re" not in DEFAULT_MEASURES
    assert chosen_measures(None) == DEFAULT_MEASURES
    assert chosen_measures(["dpot_128_l2re", "crps"]) == ("relative_l2", "dpot_128_l2re", "crps")
    with pytest.raises(RecipeError, match=r"unknown metric: got 'vrsme'.*vrmse"):
        chosen_measures(["vrsme"])
