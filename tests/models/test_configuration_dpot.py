"""The configuration refuses what no DPOT can be, and survives JSON."""

import json

import pytest
import torch
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
        ({"field_names": "density"}, "field_names must be null or a list, each item a string"),
        ({"field_names": ["a", 3]}, "each item a string: got .'a', 3."),
        ({"hidden_size": "16"}, "hidden_size must be a whole number: got '16'"),
        ({"hidden_size": 16.0}, "hidden_size must be a whole number: got 16.0"),
        ({"history": True}, "history must be a whole number: got True"),
        ({"num_modes": "all"}, "num_modes must be null or a whole number: got 'all'"),
        ({"coordinate_channels": 1}, "coordinate_channels must be true or false: got 1"),
        ({"coordinate_channels": "false"}, "coordinate_channels must be true or false"),
        ({"mlp_ratio": "1.0"}, "mlp_ratio must be a finite number: got '1.0'"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio must be a finite number: got nan"),
        ({"mlp_ratio": 0}, "mlp_ratio must be a whole number, at least 1"),
        ({"position_size": [4, 4.5]}, "each item a whole number: got .4, 4.5."),
        ({"position_size": [4, 0]}, "position_size must be a whole number, at least 1: got 0"),
        ({"hidden_act": ["gelu"]}, "hidden_act must be a string"),
        ({"mixer": None}, "mixer must be a string: got None"),
    ],
)
def test_impossible_sizes_and_names_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        tiny_config(**changes)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("num_mode", "num_modes"), ("hiden_size", "hidden_size"), ("field_name", "field_names")],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key, nearest):
    with pytest.raises(ModelError) as caught:
        tiny_config(**{key: 3})
    text = str(caught.value)
    assert f"got '{key}'. Did you mean '{nearest}'?" in text
    assert text.endswith("upgrade pdefm")
    assert "\n" not in text


@pytest.mark.parametrize(
    "key", ["to_dict", "save_pretrained", "transformers_weights", "max_length"]
)
def test_methods_and_keys_without_meaning_here_are_unknown_keys(key):
    with pytest.raises(ModelError, match=f"unknown key in a DPOTConfig: got '{key}'"):
        tiny_config(**{key: "x"})


def test_keys_of_transformers_itself_are_known():
    config = tiny_config(
        architectures=["DPOTModel"],
        dtype="bfloat16",
        transformers_version="5.0.0",
        _name_or_path="me/model",
        id2label={"0": "a"},
        return_dict=False,
        output_hidden_states=True,
        output_attentions=False,
        auto_map={"AutoConfig": "x.Y"},
        attn_implementation="eager",
        model_type="dpot",
    )
    assert config.dtype == torch.bfloat16
    assert tiny_config(torch_dtype="float16").dtype == torch.float16


def test_everything_that_a_configuration_tells_about_itself_builds_it_again():
    config = tiny_config(mlp_ratio=2, num_modes=3)
    again = DPOTConfig(**config.to_dict())
    assert again.to_dict() == config.to_dict()


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
