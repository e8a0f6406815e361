"""``pdefm data inspect``: what a file holds, as pdefm understands it."""

from collections.abc import Mapping
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


def inspect(
    path: Annotated[str, typer.Argument(help="File or folder.")],
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    variables: Variables = None,
    max_trajectories: Annotated[
        int | None, typer.Option(min=1, help="Take statistics of the first ones only.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Where a few frames of the first trajectory are drawn, a PNG."),
    ] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a file holds, as pdefm understands it, with a picture of a few frames.

    The picture goes to the cache folder, unless --picture says where; with --json only then.

    Example: pdefm data inspect my.npy --axes "N T C X Y" --names u,v --dt 0.1 --picture my.png
    """
    from pdefm.data.inspection import inspect_collection
    from pdefm.data.open import open_trajectories

    options = description(
        axes=axes,
        names=names,
        units=units,
        dt=dt,
        extent=extent,
        boundary=boundary,
        variables=variables,
    )
    collection = open_trajectories(path, format, trust=trust, **options)
    summary = inspect_collection(collection, max_trajectories)
    if picture is not None or not (no_picture or as_json):
        summary |= _draw(collection, picture)
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)
        print_understanding(summary)


def _draw(collection: "TrajectoryCollection", wanted: Path | None) -> dict[str, str]:
    """Draw the picture; only one that was asked for may fail the command."""
    from pdefm.data.cache import cache_folder
    from pdefm.data.inspection import few_frames
    from pdefm.data.picture import draw_frames
    from pdefm.errors import EnvironmentFault

    place = wanted or cache_folder() / "inspect" / f"{collection.name}.png"
    try:
        return {"picture": str(draw_frames(few_frames(collection), place))}
    except EnvironmentFault as error:
        if wanted is not None:
            raise
        return {"no_picture": str(error)}


def print_summary(summary: Mapping[str, Any]) -> None:
    """Sizes, and a table of the fields."""
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


def print_understanding(summary: Mapping[str, Any]) -> None:
    """What else ``inspect`` found, a line each, as far as there is something to say."""
    from pdefm.data.checks.storage import describe_storage

    total, summarised = summary["num_trajectories"], summary["num_summarised"]
    ranges = [f"{name} {low:.4g} to {high:.4g}" if low < high else f"{name} {low:.4g}"
              for name, (low, high) in summary["parameters"].items()]  # fmt: skip
    kinds = [
        f"{group['num_trajectories']} on {' x '.join(map(str, group['shape']))}"
        for group in summary["groups"]
    ]
    lines = {
        "axes": summary["axes"],
        "format": summary["reason"] and f"{summary['format']}: {summary['reason']}",
        "statistics": "" if summarised == total else f"of the first {summarised} trajectories",
        "parameters": ", ".join(ranges),
        "constants": ", ".join(summary["constants"]),
        "mask": ""
        if summary["mask_share"] == 1
        else f"{summary['mask_share']:.1%} of the points are inside the domain",
        "kinds": ", ".join(kinds) if len(kinds) > 1 else "",
        "licence": summary["licence"],
        "storage": "; ".join(
            f"{key} {describe_storage(data['dtype'], data['chunks'], data['compression'])}"
            for key, data in summary["storage"].items()
        ),
        "reading": _speed(summary["read_speed"]),
        "picture": summary.get("picture", summary.get("no_picture", "")),
    }
    print_lines(*(f"{name}: {text}" for name, text in lines.items() if text))


def _speed(speed: Mapping[str, Any]) -> str:
    own, plain = speed["windows_per_second"], speed["plain_windows_per_second"]
    text = (
        f"{own:.3g} windows of {speed['num_frames']} frames a second"
        f" ({speed['megabytes_per_second']:.3g} MB/s)"
    )
    if plain is None:
        return text
    advice = "; pdefm data convert makes it faster" if plain > 3 * own else ""
    return f"{text}, {plain:.3g} from the plain layout{advice}"
