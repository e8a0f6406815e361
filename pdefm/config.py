"""Recipes: YAML with ``extends:`` and ``--set a.b=c``, checked against typed sections."""

from collections.abc import Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pdefm.config_messages import problems_text, shown
from pdefm.errors import RecipeError
from pdefm.registry import nearest_name_hint
from pdefm.yaml_text import dump_yaml, parse_yaml, parse_yaml_value

EXTENDS = "extends"
LAUNCHERS = {"accelerate", "launch"}  # folders beside the recipes that say how one is started


class Section(BaseModel):
    """Base of every part of a recipe: frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


SectionT = TypeVar("SectionT", bound=Section)


def recipes_folder() -> Path:
    """Folder of the shipped recipes: inside the wheel, else beside the package."""
    package = Path(__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe by its name, such as ``pretrain/nano_smoke``."""
    folder = recipes_folder()
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.yaml"))
        if path.relative_to(folder).parts[0] not in LAUNCHERS
    }


def find_recipe(name_or_path: str | Path) -> Path:
    """File of a recipe.

    Args:
        name_or_path: An existing file, or a shipped name (``pretrain/nano_smoke``, or
            ``nano_smoke`` where only one folder has it).

    Raises:
        RecipeError: Neither; the message offers the nearest name.
    """
    path = Path(name_or_path).expanduser()
    return path if path.is_file() else _shipped_recipe(str(name_or_path))


def _shipped_recipe(name: str) -> Path:
    known = shipped_recipes()
    wanted = name.removesuffix(".yaml")
    if wanted in known:
        return known[wanted]
    matches = [full for full in known if full.rpartition("/")[2] == wanted]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise RecipeError(
            "recipe name fits several recipes", got=f"'{name}'", do=f"Use {' or '.join(matches)}"
        )
    short = {full.rpartition("/")[2]: full for full in known}
    candidates = list(known) if "/" in wanted else [*known, *short]
    close = get_close_matches(wanted, candidates, n=1, cutoff=0.5)
    hint = nearest_name_hint(short.get(close[0], close[0]) if close else wanted, list(known))
    raise RecipeError(
        "no such recipe file or shipped recipe",
        got=f"'{name}'",
        do=hint if known else "Give the path of a YAML file",
    )


def load_recipe(
    name_or_path: str | Path, schema: type[SectionT], overrides: Sequence[str] = ()
) -> SectionT:
    """Read, extend, override and check a recipe.

    Args:
        name_or_path: As :func:`find_recipe` takes it.
        schema: The section that the whole file must be.
        overrides: ``a.b=c`` each; the value is YAML, ``sources.0.weight=2`` reaches into a list.

    Returns:
        The checked section.

    Raises:
        RecipeError: No such recipe, broken YAML, a wrong key or a wrong value.
    """
    values = recipe_values(name_or_path)
    return section_from_dict(schema, override_values(values, overrides), str(name_or_path))


def recipe_values(name_or_path: str | Path) -> dict[str, Any]:
    """Keys and values of a recipe, with what it extends, not yet checked against a section."""
    return _read_with_bases(find_recipe(name_or_path), ())


def override_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The same values with each ``a.b=c`` laid over them.

    Raises:
        RecipeError: Not ``key=value``, broken YAML, or a path that does not exist.
    """
    result = dict(values)
    for override in overrides:
        result = _with_override(result, override)
    return result


def dump_recipe(section: Section) -> str:
    """YAML text that :func:`load_recipe` reads back to an equal section."""
    return dump_yaml(section.model_dump(mode="json"))


def section_from_dict(
    schema: type[SectionT], mapping: Mapping[str, Any], where: str = ""
) -> SectionT:
    """Check a mapping against a section.

    Args:
        schema: The section that the mapping must be.
        mapping: Keys and values, as read from YAML or JSON.
        where: File or name that opens the message.

    Raises:
        RecipeError: One line with the first three problems: dotted path, what was got, what to do.
    """
    try:
        return schema.model_validate(dict(mapping))
    except ValidationError as error:
        text = problems_text(schema, mapping, error)
        raise RecipeError(f"{where}: {text}" if where else text) from None


def _read_with_bases(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe laid over what it extends; ``chain`` holds the files that led here."""
    resolved = path.resolve()
    if resolved in chain:
        names = " -> ".join(link.name for link in (*chain, resolved))
        raise RecipeError("recipes extend each other in a circle", got=names, do="Remove one")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RecipeError(
            f"{path}: recipe cannot be read", got=reason, do="Give a YAML text file"
        ) from None
    values = parse_yaml(text, str(path))
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(
            f"{path}: {EXTENDS} must name one recipe",
            got=repr(base),
            do=f"Write {EXTENDS}: other.yaml",
        )
    beside = path.parent / base
    parent = beside if beside.is_file() else _shipped_recipe(base)
    return merge_values(_read_with_bases(parent, (*chain, resolved)), values)


def merge_values(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``top`` over ``base``: mappings merge key by key; the rest, lists too, is replaced."""
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merge_values(below, value)
        result[key] = value
    return result


def _with_override(values: dict[str, Any], override: str) -> dict[str, Any]:
    """The same values with one ``a.b=c`` laid over them."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(
            "--set needs key=value",
            got=f"'{override}'",
            do="Write it as --set train.max_steps=100, without spaces around the =",
        )
    return _replaced(values, keys, parse_yaml_value(text, f"--set {dotted.strip()}"), 0)


def _replaced(node: Any, keys: list[str], value: object, depth: int) -> Any:
    """Copy of ``node`` with the value behind ``keys[depth:]`` replaced."""
    if depth == len(keys):
        return value
    slot: Any = _slot(node, keys[depth], keys[:depth])
    result: Any = {} if node is None else copy(node)
    below = result[slot] if isinstance(result, list) else result.get(slot)
    result[slot] = _replaced(below, keys, value, depth + 1)
    return result


def _slot(node: object, key: str, parents: list[str]) -> str | int:
    """Key or list index that ``key`` means in ``node``."""
    if node is None or isinstance(node, dict):
        return key
    parent = ".".join(parents)
    if not isinstance(node, list):
        raise RecipeError(
            f"--set {parent}.{key}: {parent} has no keys",
            got=shown(node),
            do=f"Set {parent} itself",
        )
    if not key.isdecimal() or int(key) >= len(node):
        raise RecipeError(
            f"--set {parent}.{key}: {parent} is a list of {len(node)}",
            got=f"'{key}'",
            do=f"Use an index from 0 to {len(node) - 1}"
            if node
            else f"Set {parent} to a list first",
        )
    return int(key)
