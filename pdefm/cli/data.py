"""``pdefm data``: generate and inspect."""

from pathlib import Path
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
    Overwrite,
    Units,
    description,
    print_json,
    print_lines,
    print_table,
)

app = typer.Typer(help="Make and look at trajectories.", no_args_is_help=True)


@app.command()
def generate(
    family: Annotated[str, typer.Argument(help="Equation, such as gray_scott.")],
    out: Out,
    num_trajectories: Annotated[int, typer.Option(help="How many.")] = 8,
    resolution: Annotated[int, typer.Option(help="Points per axis.")] = 64,
    num_frames: Annotated[int, typer.Option(help="Frames, the initial state included.")] = 21,
    seed: Annotated[int, typer.Option(help="Decides the samples.")] = 0,
    split: Annotated[str, typer.Option(help="train, valid or test: different samples.")] = "train",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the equation, as dt=0.5."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Solve an equation into HDF5 files of The Well's layout.

    Example: pdefm data generate allen_cahn --num-trajectories 4 --seed 1 --out data/allen_cahn
    """
    from pdefm.config import override_values
    from pdefm.data.generate import generate as run
    from pdefm.data.open import open_trajectories
    from pdefm.data.summary import summarise
    from pdefm.progress import progress

    with progress(f"solve {family}", num_trajectories, unit="trajectories") as advance:
        folder = run(
            family,
            num_trajectories=num_trajectories,
            resolution=resolution,
            num_frames=num_frames,
            seed=seed,
            out=out,
            split=split,
            device=device,
            overwrite=overwrite,
            settings=override_values({}, settings or []),
            progress=advance,
        )
    summary = {"out": str(folder), **summarise(open_trajectories(folder, "well", split=split))}
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
        print_lines(f"next: pdefm data inspect {folder}")


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="File or folder.")],
    format: Format = "auto",
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw a few frames of the first trajectory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a file holds, as pdefm understands it.

    Example: pdefm data inspect my.npy --axes "N T C X Y" --names u,v --dt 0.1 --picture my.png
    """
    from pdefm.data.open import open_trajectories
    from pdefm.data.picture import draw_frames
    from pdefm.data.summary import summarise

    options = description(
        axes=axes, names=names, units=units, dt=dt, extent=extent, boundary=boundary
    )
    collection = open_trajectories(path, format, **options)
    summary = summarise(collection)
    if picture is not None:
        draw_frames(collection[0], picture)
        summary["picture"] = str(picture)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: dict[str, Any]) -> None:
    _, channels, *space = summary["shape"]
    low, high = summary["num_frames"]
    frames = str(low) if low == high else f"{low} to {high}"
    grid = " x ".join(map(str, space))
    print_lines(
        f"{summary['num_trajectories']} trajectories of {frames} frames, {channels} fields on"
        f" {grid} ({summary['format']})",
        f"dt {summary['dt']:.4g}, extent {summary['extent']}, boundary {summary['boundary']}",
    )
    keys = ("mean", "std", "min", "max", "num_nonfinite")
    print_table(
        "fields",
        ("name", "unit", *keys),
        (
            (name, unit, *(summary["statistics"][name][key] for key in keys))
            for name, unit in zip(summary["names"], summary["units"], strict=True)
        ),
    )
