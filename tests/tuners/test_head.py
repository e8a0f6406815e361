"""Named groups of weights."""

import pytest

from pdefm.errors import ModelError
from pdefm.tuners.head import HeadOptions, HeadTuner
from tests.tiny_dpot import tiny_model


def trained_names(*groups, **changes):
    model = HeadTuner(HeadOptions(groups=groups)).apply(tiny_model(**changes))
    return {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}


def test_the_groups_train_and_nothing_else():
    assert trained_names("decoder") == {"decoder"}
    assert trained_names("blocks", "patch_embedding") == {"layers", "patch_embedding"}
    assert trained_names("time_aggregation") == {"time_aggregation"}
    assert trained_names("conditions", conditions=["dt"]) == {"conditioning"}


def test_a_group_that_the_model_does_not_have_is_refused():
    with pytest.raises(ModelError, match=r"no group 'conditions'.*Leave the group out"):
        trained_names("conditions")
