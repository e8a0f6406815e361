"""``pdefm rollout``."""

from enum import StrEnum
from typing import Annotated

import typer

from pdefm.cli.options import (
    Adapter,
    Axes,
    Boundary,
    Data,
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
)


class Check(StrEnum):
    """What happens to a rollout that should not be believed."""

    FLAG = "flag"
    STOP = "stop"


def rollout(
    model: Model,
    data: Data,
    out: Out,
    adapter: Adapter = None,
    steps: Annotated[int, typer.Option(help="Frames to predict.")] = 10,
    index: Annotated[int, typer.Option(help="Which trajectory.")] = 0,
    start_frame: Annotated[
        int, typer.Option(help="First frame of the history; -1 continues from the data's end.")
    ] = 0,
    ensemble: Annotated[
        int, typer.Option(min=1, help="Members from perturbed histories; spread against error.")
    ] = 1,
    noise: Annotated[
        float | None,
        typer.Option(min=0, help="Perturbation over each field's RMS; default as in training."),
    ] = None,
    check: Annotated[
        Check | None,
        typer.Option(help="flag or stop where energy, range or conserved means go wrong."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the perturbations.")] = 0,
    speed: Annotated[
        bool, typer.Option(help="Also time the solver that made the data, if they say which.")
    ] = True,
    field: Annotated[
        str | None, typer.Option(help="Field that is shown; default first (film) or all (.png).")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, valid or test.")] = None,
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
    """Predict further frames in physical units: .hdf5 (The Well), .nc, .gif, .mp4 or .png.

    Pictures show truth, prediction and error. Frames are written as they come, so that --steps
    may be any number.

    Example: pdefm rollout --model runs/smoke --data data/gray_scott --steps 8 --out rollout.gif
    """
    from pdefm.hub.rollout import rollout_by_name

    options = description(
        axes=axes,
        names=names,
        units=units,
        dt=dt,
        extent=extent,
        boundary=boundary,
        variables=variables,
    )
    report = rollout_by_name(
        model,
        adapter,
        data,
        out,
        num_steps=steps,
        index=index,
        start_frame=start_frame,
        ensemble=ensemble,
        noise=noise,
        check=check,
        speed=speed,
        seed=seed,
        field=field,
        split=split,
        format=format,
        trust=trust,
        options=options,
        overwrite=overwrite,
    )
    if as_json:
        print_json(report)
        return
    errors = report["relative_l2"]
    known = (
        f"relative L2 {errors[0]:.4f} at step 1, {errors[-1]:.4f} at step {len(errors)}"
        if errors
        else "the data end where the prediction starts, so there is no error to report"
    )
    print_lines(f"{steps} steps written to {out}", known)
    if spread := report.get("spread_skill"):
        print_lines(
            f"{ensemble} members at noise {report['noise']:g}: spread over error"
            f" {spread[0]:.2f} at step 1, {spread[-1]:.2f} at step {len(spread)} (1 is honest)"
        )
    if "speed" in report:
        print_lines(report["speed"]["is"])
    print_lines(*report.get("checks", []))
    if check and not report["checks"]:
        print_lines("checks: energy, range and conserved means stay within their bounds")
