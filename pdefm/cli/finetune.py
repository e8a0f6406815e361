"""``pdefm finetune``."""

from typing import Annotated

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
    Trust,
    Units,
    Variables,
    description,
    held_out_line,
    print_json,
    print_lines,
)


def _added(texts: list[str] | None) -> dict[str, str | None] | None:
    """``NAME`` or ``NAME=LIKE`` to the recipe's mapping."""
    pairs = (text.partition("=") for text in texts or [])
    return {name: like or None for name, _, like in pairs} or None


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
        typer.Option(
            help="Field that the base does not know: NAME, or NAME=KNOWN to start from it."
        ),
    ] = None,
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    variables: Variables = None,
    overrides: Overrides = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Adapt a model to your data; writes an adapter of a few MB or less.

    Example: pdefm finetune --model dpot-nano --data my.npy --axes "N T X Y" --names phase
    --add-field phase --steps 200 --out runs/mine
    """
    from pdefm.data.description import Description
    from pdefm.hub.resolve import resolve
    from pdefm.train.finetune import finetune as run
    from pdefm.train.recipe import compose_finetune

    source = description(
        path=data,
        format=None if data is None else format,
        trust=trust or None,
        axes=axes,
        names=names and names.split(","),
        units=units and units.split(","),
        dt=dt,
        extent=extent and extent.split(","),
        boundary=boundary,
        variables=variables and dict(Description.from_options(variables=variables).variables),
    )
    resolved = compose_finetune(
        recipe,
        description(base=model, task=task, tuner=tuner, add_fields=_added(add_field), seed=seed),
        source,
        [*([] if steps is None else [f"train.max_steps={steps}"]), *(overrides or [])],
    )
    summary = run(resolved, resolve(resolved.base), out, overwrite=overwrite)
    if as_json:
        print_json(summary)
        return
    print_lines(
        f"{summary['num_trainable']:,} of {summary['num_parameters']:,} weights trained,"
        f" {summary['step']} steps, {summary['seconds']:.0f} s",
        held_out_line(summary),
        f"next: pdefm rollout --model {resolved.base} --adapter {out} --data"
        f" {data or 'YOUR_DATA'} --steps 10 --out rollout.gif",
    )
