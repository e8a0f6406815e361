"""The configuration refuses what no DPOT can be, and survives JSON."""

import json

import pytest
from transformers import AutoConfig

from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from tests.tiny_dpot import tiny_config


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("time_aggregation", "exp_mpl", "exp_mlp"),
        ("mode_truncation", "symetric", "symmetric"),
        ("prediction", "incremnt", "increment"),
        ("hidden_act", "gleu", "gelu"),
    ],
)
def test_an_unknown_variant_is_refused_with_the_nearest_one(key, value, nearest):
    with pytest.raises(ModelError) as caught:
        tiny_config(**{key: value})
    text = str(caught.value)
    assert text.startswith(f"unknown {key}: got '{value}'. Did you mean '{nearest}'?")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 20}, "hidden_size 20, heads 2. Use a multiple of 8"),
        ({"hidden_size": 24, "num_attention_heads": 5}, "Use a multiple of 5"),
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number, at least 1"),
        ({"num_modes": 0}, "num_modes must be a whole number"),
        ({"history": "ten"}, "history"),
        ({"field_names": ["a", "b", "a"]}, "different names"),
        ({"field_names": []}, "at least one"),
    ],
)
def test_impossible_sizes_and_names_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        tiny_config(**changes)


def test_json_brings_every_key_back(tmp_path):
    config = tiny_config(
        num_modes=5,
        mode_truncation="one_sided",
        spectral_output_bias=True,
        hidden_act="silu",
        time_aggregation="mlp",
        position_size=[3, 5],
        coordinate_channels=False,
        prediction="state",
        mlp_ratio=0.5,
        horizon=4,
    )
    config.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == "dpot"
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is DPOTConfig
    loaded.name_or_path = config.name_or_path  # where it was found is no part of it
    assert loaded.to_dict() == config.to_dict()
    assert {"num_modes", "position_size", "field_names"} <= content.keys()


def test_a_changed_configuration_does_not_change_the_next_one():
    tiny_config().field_names.append("later")
    assert tiny_config().field_names == ["density", "pressure"]
    assert DPOTConfig().field_names == ["field"]
