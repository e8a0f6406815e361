"""``pdefm check``."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, Overrides, Seed, print_json, print_table, with_seed


def check(
    recipe: Annotated[str, typer.Argument(help="Pretraining recipe: file or shipped name.")],
    overrides: Overrides = None,
    seed: Seed = None,
    world: Annotated[int, typer.Option(min=1, help="Processes that shall train it.")] = 1,
    gpu_memory: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Of one GPU, GiB; refuse what does not fit.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a recipe's model without memory for it, read one batch, print shapes and sizes.

    Sizes are those of one process of --world.

    Example: pdefm check tiny --world 4 --gpu-memory 24
    """
    from pdefm.config import load_recipe
    from pdefm.train.check import check_recipe
    from pdefm.train.recipe import PretrainRecipe

    resolved = load_recipe(recipe, PretrainRecipe, with_seed(overrides, seed))
    report = check_recipe(resolved, world_size=world, gpu_memory=gpu_memory)
    if as_json:
        print_json(report)
    else:
        print_table(f"recipe {recipe}", ("", "value"), report.items())
