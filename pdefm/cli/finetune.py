"""``pdefm finetune``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    print_table,
)

if TYPE_CHECKING:
    from pdefm.train.recipe import FinetuneRecipe


def _added(texts: list[str] | None) -> dict[str, str | None] | None:
    """``NAME`` or ``NAME=LIKE`` to the recipe's mapping."""
    pairs = (text.partition("=") for text in texts or [])
    return {name: like or None for name, _, like in pairs} or None


def _study(
    recipe: "FinetuneRecipe",
    base: Path,
    out: Path,
    shots: str | None,
    num_seeds: int,
    tuners: str | None,
    rates: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare over the number of trajectories, and print what came of it."""
    from pdefm.train.study import parse_rates, parse_shots, run_study

    results = run_study(
        recipe,
        base,
        out,
        shots=None if shots is None else parse_shots(shots),
        num_seeds=num_seeds,
        tuners=[] if tuners is None else tuners.split(","),
        rates=None if rates is None else parse_rates(rates),
        overwrite=overwrite,
    )
    if as_json:
        print_json(results)
        return
    labels = list(results["errors"])
    print_table(
        f"relative L2 on held-out data after {recipe.train.max_steps} steps",
        ("trajectories", *labels),
        (
            (k, *(results["errors"][label]["mean"][i] for label in labels))
            for i, k in enumerate(results["shots"])
        ),
    )
    for label, gains in results["gains"].items():
        print_lines(f"{label}: {gains[0]['sentence']}")
    print_lines(f"written to {out}/results.json and {out}/study.png")


def _report(summary: dict[str, Any], recipe: "FinetuneRecipe", out: Path, data: str | None) -> None:
    """What came of it, and what can be done next."""
    from pdefm.tasks import TASKS

    forecasts = TASKS[recipe.task].forecasts
    print_lines(
        f"{summary['num_trainable']:,} of {summary['num_parameters']:,} weights trained,"
        f" {summary['step']} steps, {summary['seconds']:.0f} s",
        held_out_line(summary, forecasts=forecasts),
        *(
            [f"best step {summary['best_step']}: {out}/checkpoints/best/model"]
            if "best_step" in summary
            else []
        ),
        f"next: pdefm {'rollout' if forecasts else 'evaluate'} --model {recipe.base}"
        f" --adapter {out} --data {data or 'YOUR_DATA'}"
        f" {'--steps 10 --out rollout.gif' if forecasts else '--out results.json'}",
    )


def finetune(
    out: Out,
    recipe: Annotated[str | None, typer.Argument(help="Recipe; options go on top of it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The base.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Your trajectories.")] = None,
    task: Annotated[str | None, typer.Option(help="What is predicted; pdefm list tasks.")] = None,
    tuner: Annotated[
        str | None, typer.Option(help="Which weights move; pdefm list tuners.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training data.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to end in, as 90s, 10min or 1.5h; picks the steps.")
    ] = None,
    study: Annotated[
        bool,
        typer.Option("--study", help="Is it worth it? Errors from few to many trajectories."),
    ] = False,
    shots: Annotated[
        str | None, typer.Option(help="Numbers of trajectories of a study, as 4,16,64.")
    ] = None,
    num_seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of a study.")] = 2,
    tuners: Annotated[
        str | None, typer.Option(help="Tuners that a study compares, as full,fourier,lora.")
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(help="Learning rates of single contenders of a study, as scratch=5e-3."),
    ] = None,
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
    from pdefm.errors import RecipeError
    from pdefm.hub.resolve import resolve
    from pdefm.train.briefing import parse_budget
    from pdefm.train.finetune import finetune as run
    from pdefm.train.recipe import compose_finetune

    if sum(given is not None for given in (steps, epochs, budget)) > 1:
        raise RecipeError("give one of --steps, --epochs and --budget", do="Leave the others out")
    if epochs is not None and epochs <= 0:
        raise RecipeError("--epochs must be positive", got=epochs)
    seconds = None if budget is None else parse_budget(budget)
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
    if study:
        if seconds is not None or epochs is not None:
            raise RecipeError("a study compares at equal steps", do="Give --steps")
        base = resolve(resolved.base)
        _study(resolved, base, out, shots, num_seeds, tuners, rates, overwrite, as_json)
        return
    summary = run(
        resolved,
        resolve(resolved.base),
        out,
        overwrite=overwrite,
        epochs=epochs,
        budget_seconds=seconds,
        announce=None if as_json else print_lines,
    )
    if as_json:
        print_json(summary)
        return
    _report(summary, resolved, out, data)
