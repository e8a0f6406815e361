"""``pdefm evaluate``."""

from typing import Annotated

import typer

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
    Overwrite,
    Trust,
    Units,
    Variables,
    description,
    print_json,
    print_lines,
    print_table,
)


def evaluate(
    model: Model,
    data: Annotated[list[str], typer.Option("--data", help="File or folder; may be repeated.")],
    out: Out,
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
    seed: Annotated[int, typer.Option(help="Recorded with the results.")] = 0,
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    variables: Variables = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure a model or adapter on data and write results.json, with trivial answers beside it.

    Example: pdefm evaluate --model runs/smoke --data data/gray_scott --out results.json
    """
    from pdefm.evaluation.summary import METRIC_NAMES, window_text
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
        seed=seed,
        overwrite=overwrite,
    )
    if as_json:
        print_json(results)
        return
    labels = METRIC_NAMES | {"coverage": "coverage of the 90 % interval"}
    for name, found in results["datasets"].items():
        rows = [("this model", found["metrics"]), *found["baselines"].items()]
        shown = [key for key in labels if key in found["metrics"]]
        print_table(
            f"{name}: {found['num_trajectories']} trajectories, {window_text(found)}",
            ("", *(labels[key] for key in shown)),
            ((label, *(metrics[key] for key in shown)) for label, metrics in rows),
        )
    print_lines(f"written to {out}")
