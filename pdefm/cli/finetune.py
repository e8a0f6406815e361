"""``pdefm finetune``."""

from typing import Annotated, Any

import typer

from pdefm.cli.options import (
    Axes,
    Boundary,
    Dt,
    Extent,
    Format,
    Json,
    Names,
    Out,
    Overrides,
    Overwrite,
    Seed,
    Units,
    description,
    print_json,
    print_lines,
)


def _added(texts: list[str] | None) -> dict[str, str | None]:
    """``NAME`` or ``NAME=LIKE`` to the recipe's mapping."""
    pairs = (text.partition("=") for text in texts or [])
    return {name: like or None for name, _, like in pairs}


def finetune(
    out: Out,
    recipe: Annotated[str | None, typer.Argument(help="Recipe; options go on top of it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The base.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Your trajectories.")] = None,
    task: Annotated[str | None, typer.Option(help="What is predicted.")] = None,
    tuner: Annotated[str | None, typer.Option(help="Which weights move: lora or full.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    add_field: Annotated[
        list[str] | None,
        typer.Option(help="Field that the base does not know: NAME, or NAME=KNOWN to start from it."),
    ] = None,
    format: Format = "auto",
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    overrides: Overrides = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Adapt a model to your data; writes an adapter of a few MB or less.

    Example: pdefm finetune --model dpot-nano --data my.npy --axes "N T X Y" --names phase
    --add-field phase --steps 200 --out runs/mine
    """
    from pdefm.train.finetune import run_finetune
    from pdefm.train.recipe import finetune_recipe

    given: dict[str, Any] = description(
        base=model, task=task, tuner=tuner, add_fields=_added(add_field) or None, seed=seed
    )
    source = description(
        path=data,
        axes=axes,
        names=names.split(",") if names else None,
        units=units.split(",") if units else None,
        dt=dt,
        extent=[float(e) for e in extent.split(",")] if extent else None,
        boundary=boundary,
    )
    if data is not None:
        source |= {"format": format}
    resolved = finetune_recipe(recipe, given, source, steps, overrides or [])
    summary = run_finetune(resolved, out, overwrite=overwrite)
    if as_json:
        print_json(summary)
        return
    errors = ", ".join(f"{name} {error:.4f}" for name, error in summary["validation"].items())
    print_lines(
        f"{summary['num_trainable']:,} of {summary['num_parameters']:,} weights trained,"
        f" {summary['step']} steps, {summary['seconds']:.0f} s",
        f"one-step relative L2 on held-out data: {errors}",
        f"next: pdefm rollout --model {resolved.base} --adapter {out} --data"
        f" {data or 'YOUR_DATA'} --steps 10 --out rollout.gif",
    )
