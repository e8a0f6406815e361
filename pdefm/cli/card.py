"""``pdefm card``."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, Overwrite, print_json, print_lines


def card(
    folder: Annotated[str, typer.Argument(help="Model or adapter folder.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Render README.md from the folder's results.json, processor and prose.

    Example: pdefm card models/smoke
    """
    from pdefm.hub.card import write_card

    path = write_card(folder, overwrite=overwrite)
    if as_json:
        print_json({"card": str(path)})
    else:
        print_lines(f"written to {path}")
