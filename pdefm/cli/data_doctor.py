"""``pdefm data doctor``: what is wrong with data."""

from typing import TYPE_CHECKING, Annotated

import typer

from pdefm.cli.options import (
    Axes,
    Boundary,
    Dt,
    Extent,
    Format,
    Json,
    Names,
    Trust,
    Units,
    Variables,
    description,
    print_json,
    print_lines,
    print_table,
)

if TYPE_CHECKING:
    from pdefm.data.collection import TrajectoryCollection
    from pdefm.data.doctor import Diagnosis


def doctor(
    path: Annotated[str, typer.Argument(help="File or folder; all of its splits are compared.")],
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    variables: Variables = None,
    patch_size: Annotated[
        int | None, typer.Option(min=1, help="Of the model; grids must be divisible by it.")
    ] = None,
    history: Annotated[int | None, typer.Option(min=1, help="Frames in.")] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Frames out.")] = 1,
    incompressible: Annotated[
        bool, typer.Option("--incompressible", help="The velocity must have no divergence.")
    ] = False,
    conserved: Annotated[
        str | None, typer.Option(help="Fields whose mean over the box must stay, as a,b.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Other data, such as a test set, that must not be in PATH.")
    ] = None,
    max_trajectories: Annotated[
        int | None, typer.Option(min=1, help="Look only at so many, evenly chosen.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with data before they are trained on; exits with 3 if there are errors.

    Example: pdefm data doctor data/mine --patch-size 8 --history 10 --conserved density
    """
    from pdefm.data.checks.base import Expectations
    from pdefm.data.description import Description
    from pdefm.data.doctor import diagnose, num_to_look_at, open_splits
    from pdefm.errors import DataError
    from pdefm.progress import progress

    options = description(
        axes=axes,
        names=names,
        units=units,
        dt=dt,
        extent=extent,
        boundary=boundary,
        variables=variables,
    )
    collections = open_splits(path, format, trust=trust, **options)
    others = (
        {}
        if against is None
        else _named(open_splits(against, format, trust=trust, **options), against)
    )
    expectations = Expectations(
        patch_size=patch_size,
        history=history,
        horizon=horizon,
        incompressible=incompressible,
        conserved=Description.from_options(names=conserved).names,
    )
    total = sum(num_to_look_at(part, max_trajectories) for part in (collections, others))
    with progress("look at", total, unit="trajectories") as advance:
        diagnosis = diagnose(
            collections,
            expectations,
            against=others,
            max_trajectories=max_trajectories,
            progress=advance,
        )
    if as_json:
        print_json({"path": path, **diagnosis.as_json()})
    else:
        _print(path, diagnosis)
    if diagnosis.count("error"):
        raise typer.Exit(DataError.exit_status)


def _named(
    splits: "dict[str, TrajectoryCollection]", path: str
) -> "dict[str, TrajectoryCollection]":
    """Splits of other data, under names that no own split has."""
    return {f"{path}/{split}" if split else path: part for split, part in splits.items()}


def _print(path: str, diagnosis: "Diagnosis") -> None:
    if diagnosis.findings:
        header = ("severity", "code", "where", "what is wrong", "found", "what to do")
        rows = (
            (
                finding.severity,
                finding.code,
                finding.where(),
                finding.what,
                finding.got,
                finding.do,
            )
            for finding in diagnosis.findings
        )
        print_table(path, header, rows, of_text=True)
    print_lines(f"{path}: {diagnosis.sentence()}")
