"""``pdefm evaluate``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pdefm.cli.baseline_options import (
    BaselineBudget,
    BaselineData,
    BaselineLearningRate,
    Baselines,
    BaselineSteps,
    BaselineTrajectories,
    baseline_order,
)
from pdefm.cli.options import (
    Adapter,
    Axes,
    Boundary,
    Dt,
    Extent,
    Format,
    Json,
    Model,
    Names,
    Out,
    Overrides,
    Overwrite,
    Trust,
    Units,
    Variables,
    description,
    print_json,
    print_lines,
    print_table,
    with_seed,
)


def _benchmark(
    name: str,
    model: str,
    adapter: str | None,
    out: Path,
    compare: list[str] | None,
    overrides: list[str] | None,
    overwrite: bool,
    seed: int | None,
    others: tuple[Any, ...],
    ordered: dict[str, Any],
) -> dict[str, Any]:
    """Measure what a recipe says, and nothing else."""
    from pdefm.config import load_recipe
    from pdefm.errors import RecipeError
    from pdefm.hub.benchmark import run_benchmark
    from pdefm.hub.benchmark_recipe import BenchmarkRecipe

    if any(others):
        raise RecipeError(
            "a benchmark says its data, split and steps itself",
            do="Leave --data, --split, --steps, --start-frame, --max-trajectories, --ensemble,"
            " --noise and --baseline-data out, or change the recipe with --set",
        )
    recipe = load_recipe(name, BenchmarkRecipe, with_seed(overrides, seed))
    return run_benchmark(
        recipe,
        model,
        adapter,
        out,
        compare=compare or [],
        baselines=baseline_order(**ordered, seed=recipe.seed),
        overwrite=overwrite,
    )


def _report(results: dict[str, Any], out: Path, as_json: bool) -> None:
    """Tables for people, or one JSON object."""
    from pdefm.evaluation.summary import METRIC_NAMES, role_text, window_text

    if as_json:
        print_json(results)
        return
    labels = METRIC_NAMES | {"coverage": "coverage of the 90 % interval"}
    if results["protocol"].get("ensemble", 1) > 1:
        labels |= {"crps": "CRPS", "spread_skill": "spread over error"}
    for name, found in results["datasets"].items():
        rows = [("this model", found["metrics"]), *found["baselines"].items()]
        shown = [key for key in labels if key in found["metrics"]]
        print_table(
            f"{name}: {found['num_trajectories']} trajectories, {window_text(found)}",
            ("", *(labels[key] for key in shown)),
            ((label, *(metrics.get(key, "") for key in shown)) for label, metrics in rows),
        )
        for label, numbers in found["baselines"].items():
            if "training" in numbers:
                print_lines(f"{label}: {role_text(label, numbers)}")
    for name, reason in results.get("skipped", {}).items():
        print_lines(f"skipped {name}: {reason}")
    print_lines(f"written to {out}")


def evaluate(
    model: Model,
    out: Out,
    benchmark: Annotated[
        str | None, typer.Argument(help="Recipe of a benchmark, such as embedded; or give --data.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="File or folder; may be repeated.")
    ] = None,
    adapter: Adapter = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=MODEL", help="Another model under the same protocol."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid or test; default test, else valid, else all, but of an adapter's own"
            " training data what was held out."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Frames to roll out; default all.")] = None,
    start_frame: Annotated[int, typer.Option(help="First frame of the history.")] = 0,
    max_trajectories: Annotated[int | None, typer.Option(help="Only the first so many.")] = None,
    ensemble: Annotated[
        int, typer.Option(min=1, help="Members from perturbed histories; errors are of their mean.")
    ] = 1,
    noise: Annotated[
        float | None,
        typer.Option(help="Perturbation over each field's RMS; default as in each training."),
    ] = None,
    baselines: Baselines = None,
    baseline_budget: BaselineBudget = None,
    baseline_steps: BaselineSteps = None,
    baseline_learning_rate: BaselineLearningRate = None,
    baseline_trajectories: BaselineTrajectories = None,
    baseline_data: BaselineData = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of baselines and perturbations; recorded with the results. Default 0."),
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
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure a model or adapter on data and write results.json, with trivial answers beside it.

    Example: pdefm evaluate --model runs/smoke --data data/gray_scott --out results.json;
    pdefm evaluate embedded --model runs/smoke --baselines fno,unet --out results.json
    """
    ordered: dict[str, Any] = {
        "names": baselines,
        "budget": baseline_budget,
        "steps": baseline_steps,
        "learning_rate": baseline_learning_rate,
        "num_trajectories": baseline_trajectories,
        "data": baseline_data,
    }
    if benchmark is not None:
        single = ensemble == 1 and noise is None
        others = (data, split, steps, start_frame, max_trajectories, baseline_data, not single)
        results = _benchmark(
            benchmark, model, adapter, out, compare, overrides, overwrite, seed, others, ordered
        )
        _report(results, out, as_json)
        return
    if not data:
        from pdefm.errors import RecipeError

        raise RecipeError("evaluation needs --data or a benchmark", do="Give one of them")
    from pdefm.hub.evaluation import evaluate_by_name

    options = description(
        axes=axes,
        names=names,
        units=units,
        dt=dt,
        extent=extent,
        boundary=boundary,
        variables=variables,
    )
    results = evaluate_by_name(
        model,
        adapter,
        data,
        out,
        compare=compare or [],
        split=split,
        format=format,
        trust=trust,
        options=options,
        num_steps=steps,
        start_frame=start_frame,
        max_trajectories=max_trajectories,
        ensemble=ensemble,
        noise=noise,
        seed=seed or 0,
        baselines=baseline_order(**ordered, seed=seed or 0),
        overwrite=overwrite,
    )
    _report(results, out, as_json)
