"""Validation errors of a recipe in a user's words: dotted path, what was got, what to do."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pdefm.errors import PdefmError

MAX_REPORTED_ERRORS = 3


def problems_text(
    schema: type[BaseModel], mapping: Mapping[str, Any], error: ValidationError
) -> str:
    """The first problems on one line, and how many more there are."""
    details = error.errors(include_url=False)
    details.sort(key=lambda one: one["type"] != "extra_forbidden")  # a typo explains a missing key
    problems = [_problem(schema, mapping, one) for one in details[:MAX_REPORTED_ERRORS]]
    if len(details) > MAX_REPORTED_ERRORS:
        problems.append(f"and {len(details) - MAX_REPORTED_ERRORS} more")
    return "; ".join(problems)


def _problem(schema: type[BaseModel], mapping: Mapping[str, Any], error: ErrorDetails) -> str:
    """One validation error in a user's words."""
    kept, hints = _located(schema, mapping, error)
    path = ".".join(kept) or "recipe"
    match error["type"]:
        case "extra_forbidden":
            return f"{path}: unknown key, {_nearest_key(hints, kept)}"
        case "missing":
            return f"{path}: missing, add it to the recipe or give --set {path}=VALUE"
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, PdefmError):
        return f"{path}: {cause}"
    says = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    says = says.replace("Input should be", "must be").replace("Input should", "must")
    return f"{path}: {says}, got {shown(error['input'])}"


def _located(
    schema: type[BaseModel], mapping: Mapping[str, Any], error: ErrorDetails
) -> tuple[list[str], list[Any]]:
    """Dotted path as the user wrote it, and the types that were possible around its last key.

    Pydantic puts the tags of unions into its locations; a part that is neither in the recipe nor
    a field is such a tag.
    """
    kept: list[str] = []
    node: Any = mapping
    hints: list[Any] = [schema]
    around = hints
    for part in error["loc"]:
        inner = [hint for option in hints for hint in _inner_types(option, part)]
        found, below = _step(node, part)
        if not (inner or found):
            tagged = [hint for hint in hints if _carries_tag(hint, part)]
            hints = tagged or hints
            continue
        kept.append(str(part))
        around, hints, node = hints, inner, below
    return kept, around


def _step(node: object, part: int | str) -> tuple[bool, object]:
    """Whether the recipe has ``part`` in ``node``, and what is there."""
    if isinstance(node, Mapping) and part in node:
        return True, node[part]
    if isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
        return True, node[part]
    return False, None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Members of a union, through ``Annotated``; anything else is its own only member."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _fields(annotation: Any) -> dict[str, Any]:
    """Types of the fields of a section; nothing for any other type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    return {}


def _inner_types(annotation: Any, part: int | str) -> Iterator[Any]:
    """Types that stand behind one step (field, key or index) into a type."""
    if str(part) in (fields := _fields(annotation)):
        yield from _alternatives(fields[str(part)])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not arguments:
        return
    if issubclass(origin, Mapping):
        yield from _alternatives(arguments[1])
    elif isinstance(part, int):
        fixed = issubclass(origin, tuple) and Ellipsis not in arguments
        yield from _alternatives(arguments[part if fixed and part < len(arguments) else 0])


def _carries_tag(annotation: Any, tag: int | str) -> bool:
    """Whether a section of a union is the one that pydantic calls ``tag``."""
    fields = _fields(annotation)
    literals = [value for hint in fields.values() for value in get_args(hint)]
    return bool(fields) and (tag == annotation.__name__ or tag in literals)


def _nearest_key(hints: list[Any], kept: list[str]) -> str:
    """Advice on an unknown key from the keys that its section has."""
    known = sorted({name for hint in hints for name in _fields(hint)})
    close = get_close_matches(kept[-1], known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{'.'.join([*kept[:-1], close[0]])}'?"
    return f"known here: {', '.join(known)}"


def shown(value: object, limit: int = 60) -> str:
    """A value, short enough for one line."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
