"""``pdefm list``."""

from enum import StrEnum
from typing import Annotated

import typer

from pdefm.cli.options import Json, print_json, print_lines, print_table


class Listed(StrEnum):
    """What can be listed."""

    MODELS = "models"
    PDES = "pdes"
    FORMATS = "formats"
    MIXERS = "mixers"
    TASKS = "tasks"
    TUNERS = "tuners"
    BASELINES = "baselines"
    RECIPES = "recipes"


def list_models(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.MODELS,
    hub: Annotated[
        bool, typer.Option("--hub", help="Models on the Hub that pdefm published.")
    ] = False,
    author: Annotated[
        str | None, typer.Option(help="Only those of this user or organisation; with --hub.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List published models and adapters, or what a recipe can name.

    Example: pdefm list models; pdefm list recipes; pdefm list --hub --author me
    """
    from pdefm.hub.listing import list_models as list_found
    from pdefm.hub.listing import list_names

    if hub:
        _list_hub(author, as_json)
        return
    if what is Listed.PDES:
        _list_pdes(as_json)
        return
    if what is not Listed.MODELS:
        names = list_names(what)
        if as_json:
            print_json({what: names})
        else:
            print_table(what, ("name", "is"), names.items())
        return
    entries = list_found()
    if as_json:
        print_json(
            {
                "models": [
                    {**vars(e), "path": str(e.path), "fields": list(e.fields)} for e in entries
                ]
            }
        )
        return
    if not entries:
        print_lines("no models yet; `pdefm publish RUN --name NAME` puts one here")
        return
    print_table(
        "models and adapters",
        ("name", "kind", "source", "parameters", "size, kB", "fields"),
        (
            (e.name, e.kind, e.source, e.num_parameters, e.size // 1000, ", ".join(e.fields))
            for e in entries
        ),
    )


def _list_hub(author: str | None, as_json: bool) -> None:
    from pdefm.hub.listing import LIBRARY
    from pdefm.repositories import search_models

    found = search_models(LIBRARY, author)
    if as_json:
        print_json({"models": [{**vars(each), "tags": list(each.tags)} for each in found]})
        return
    if not found:
        print_lines("no models of pdefm found on the Hub")
        return
    print_table(
        "models on the Hub",
        ("name", "kind", "revision", "changed", "downloads"),
        (
            (
                each.name,
                "adapter" if "adapter" in each.tags else "model",
                each.revision[:12],
                each.changed,
                each.downloads,
            )
            for each in found
        ),
    )


def _list_pdes(as_json: bool) -> None:
    from pdefm.hub.listing import list_pdes

    found = list_pdes()
    if as_json:
        print_json({"pdes": found})
        return
    rows = (
        (
            name,
            f"{facts['num_dims']}-D" + (" steady" if facts["steady"] else ""),
            ", ".join(facts["fields"]),
            ", ".join(facts["boundary"]),
            ", ".join(_range(*item) for item in facts["parameters"].items()) or "none",
        )
        for name, facts in found.items()
    )
    print_table("equations", ("name", "axes", "fields", "boundary", "parameters"), rows)


def _range(name: str, limits: list[float]) -> str:
    low, high = limits
    return f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}"
