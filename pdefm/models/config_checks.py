"""What every configuration refuses: keys that nobody knows, and values of the wrong kind."""

from dataclasses import fields
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from transformers import PreTrainedConfig

from pdefm.errors import ModelError
from pdefm.registry import nearest_name_hint

# Read and written by transformers without being an attribute of its base class.
UPSTREAM_KEYS = frozenset(
    {"attn_implementation", "experts_implementation", "auto_map", "quantization_config"}
)
KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a string",
    NoneType: "null",
}


def own_fields(config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    """Name and annotation of the fields that a configuration class adds to transformers'."""
    inherited = {field.name for field in fields(PreTrainedConfig)}
    return {f.name: f.type for f in fields(config_class) if f.name not in inherited}


@cache
def _upstream_attributes() -> frozenset[str]:
    """Attributes that transformers gives every configuration; its methods are none."""
    declared = {
        name
        for name in dir(PreTrainedConfig)
        if not name.startswith("__") and not callable(getattr(PreTrainedConfig, name, None))
    }
    return frozenset(declared | vars(PreTrainedConfig()).keys() | UPSTREAM_KEYS)


def check_keys(config: PreTrainedConfig, extra: dict[str, Any]) -> None:
    """Refuse keys that are no fields of the class and that transformers does not use either.

    Raises:
        ModelError: Names the key and the nearest one that is known.
    """
    for key in sorted(extra.keys() - _upstream_attributes()):
        raise ModelError(
            f"unknown key in a {type(config).__name__}",
            got=f"'{key}'",
            do=f"{nearest_name_hint(key, list(own_fields(type(config))))}."
            " If a newer pdefm wrote the file, upgrade pdefm",
        )


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(kind))
    if get_origin(kind) is list:
        is_list = isinstance(value, list | tuple)
        return is_list and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return _fits(value, int) or (isinstance(value, float) and isfinite(value))
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _described(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        parts = sorted(get_args(kind), key=lambda each: each is not NoneType)
        return " or ".join(_described(each) for each in parts)
    if get_origin(kind) is list:
        return f"a list, each item {_described(get_args(kind)[0])}"
    return KINDS[kind]


def check_kinds(config: PreTrainedConfig) -> None:
    """Refuse a value that is not of its field's annotated type; whole numbers are numbers too.

    Raises:
        ModelError: Names the key.
    """
    for key, kind in own_fields(type(config)).items():
        if not _fits(value := getattr(config, key), kind):
            raise ModelError(f"{key} must be {_described(kind)}", got=repr(value))
