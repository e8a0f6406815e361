"""``pdefm report``."""

from pathlib import Path
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
    Overwrite,
    Trust,
    Units,
    Variables,
    description,
    print_json,
    print_lines,
)


def report(
    run: Annotated[str, typer.Argument(help="Run folder of a pretraining or a fine-tuning.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default report.html in the run.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data of the evaluation: shows its best and worst case.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Evaluation; default results.json in the run.")
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
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """One HTML page about a run: training, numbers, errors over time, best and worst cases.

    Example: pdefm report runs/mine --data data/unseen --out report.html
    """
    from pdefm.hub.report import report_run

    found = report_run(
        run,
        Path(run) / "report.html" if out is None else out,
        data=data,
        results=results,
        overwrite=overwrite,
        format=format,
        trust=trust,
        **description(
            axes=axes,
            names=names,
            units=units,
            dt=dt,
            extent=extent,
            boundary=boundary,
            variables=variables,
        ),
    )
    if as_json:
        print_json(found)
        return
    print_lines(f"written to {found['report']}", *found["missing"])
