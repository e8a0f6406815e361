"""``pdefm check``."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, Overrides, Seed, print_json, print_table, with_seed


def check(
    recipe: Annotated[str, typer.Argument(help="Pretraining recipe: file or shipped name.")],
    overrides: Overrides = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Build a recipe's model without memory for it, read one batch, print shapes and sizes.

    Example: pdefm check nano_smoke
    """
    from pdefm.config import load_recipe
    from pdefm.train.check import check_recipe
    from pdefm.train.recipe import PretrainRecipe

    report = check_recipe(load_recipe(recipe, PretrainRecipe, with_seed(overrides, seed)))
    if as_json:
        print_json(report)
    else:
        print_table(f"recipe {recipe}", ("", "value"), report.items())
