"""YAML as people expect it: ``1e-3`` is a number, ``no`` is a word, a key twice is an error.

PyYAML follows YAML 1.1; here plain scalars are read by the core schema of YAML 1.2.
Source: YAML 1.2.2, section 10.3.2.
"""

import re
from typing import Any

import yaml
from yaml.composer import ComposerError

from pdefm.errors import RecipeError

_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}


class _Loader(yaml.SafeLoader):
    """Safe loader with the core schema that refuses a key given twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's class attribute

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Node of a mapping, every key once."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name = str(key.value)
            if name in lines:
                raise ComposerError(
                    problem=f"'{name}' is already in line {lines[name]}",
                    problem_mark=key.start_mark,
                )
            lines[name] = key.start_mark.line + 1
        return node


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes every text which either schema would read as something else."""


for _name, (_pattern, _first) in _CORE_SCHEMA.items():
    for _target in (_Loader, _Dumper):
        _target.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
        )


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Mapping at the top of a YAML document.

    Args:
        text: The document.
        where: File that opens the message.

    Raises:
        RecipeError: Broken YAML, a key given twice, nothing at all or no mapping; with its line.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if isinstance(node, yaml.MappingNode):
            return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, where) from None
    if node is None:
        raise RecipeError(f"{where}: recipe is empty", do="Write key: value lines")
    kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
    raise RecipeError(
        f"{where}, line {node.start_mark.line + 1}: recipe must be key: value lines",
        got=kind,
        do="Put it under a key",
    )


def parse_yaml_value(text: str, where: str) -> Any:
    """Value of a YAML scalar, list or mapping.

    Raises:
        RecipeError: Broken YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, where) from None


def dump_yaml(values: dict[str, Any]) -> str:
    """Text that :func:`parse_yaml` reads back to equal values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _syntax_error(error: yaml.YAMLError, where: str) -> RecipeError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    says = getattr(error, "problem", None) or str(error)
    return RecipeError(
        f"{where}{line}: not valid YAML", got=says, do="Check indentation, colons and quotes there"
    )
