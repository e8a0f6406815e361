"""``pdefm pretrain``."""

from typing import Annotated

import typer

from pdefm.cli.options import (
    Json,
    Out,
    Overrides,
    Overwrite,
    Seed,
    held_out_line,
    print_json,
    print_lines,
    with_seed,
)


def pretrain(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or the name of a shipped one.")],
    out: Out,
    overrides: Overrides = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a new model from a recipe; the same command resumes a run that was stopped.

    Example: pdefm pretrain nano_smoke --out runs/smoke --set train.max_steps=30
    """
    from pdefm.config import load_recipe
    from pdefm.train.pretrain import pretrain as run
    from pdefm.train.recipe import PretrainRecipe

    resolved = load_recipe(recipe, PretrainRecipe, with_seed(overrides, seed))
    summary = run(resolved, out, overwrite=overwrite)
    if as_json:
        print_json(summary)
        return
    print_lines(
        f"{summary['step']} steps, {summary['num_parameters']:,} parameters,"
        f" {summary['seconds']:.0f} s",
        held_out_line(summary),
        f"next: pdefm publish {out} --out models/{resolved.name}",
    )
