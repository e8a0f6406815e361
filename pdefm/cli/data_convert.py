"""``pdefm data convert`` and ``pdefm data stats``: data that read fast, and their statistics."""

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
    Overwrite,
    Trust,
    Units,
    description,
    print_json,
    print_lines,
    print_table,
)

Path = Annotated[str, typer.Argument(help="File or folder.")]


def convert(
    path: Path,
    out: Out,
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    keep_unusable: Annotated[
        bool, typer.Option("--keep-unusable", help="Write trajectories with NaN and crashed ones.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write data as uncompressed float32 HDF5 of The Well's layout; goes on after a kill.

    Trajectories that are not finite or zero from some frame on are left out and listed.

    Example: pdefm data convert my.npy --axes "N T C X Y" --names u,v --dt 0.1 --out data/mine
    """
    from pdefm.data.convert import Conversion
    from pdefm.progress import progress

    options = description(
        axes=axes, names=names, units=units, dt=dt, extent=extent, boundary=boundary
    )
    work = Conversion(
        path,
        out,
        format=format,
        keep_unusable=keep_unusable,
        overwrite=overwrite,
        trust=trust,
        **options,
    )
    with progress(
        f"convert {work.name}", work.num_trajectories, unit="trajectories", done=work.num_done
    ) as advance:
        record = work.run(advance)
    written = sum(note["num_trajectories"] for note in record["files"].values())
    summary = {"out": str(out), "num_trajectories": written, "num_files": len(record["files"])}
    if as_json:
        print_json(summary | {"dropped": record["dropped"], "statistics": record["statistics"]})
        return
    print_lines(f"{written} trajectories in {len(record['files'])} files below {out}")
    print_lines(
        *(f"left out: {d['source']}[{d['index']}], {d['reason']}" for d in record["dropped"])
    )
    if record["licence"]:
        print_lines(f"licence of the source: {record['licence']}")
    print_lines(f"next: pdefm data inspect {out}")


def stats(
    path: Path,
    format: Format = "auto",
    trust: Trust = False,
    axes: Axes = None,
    names: Names = None,
    units: Units = None,
    dt: Dt = None,
    extent: Extent = None,
    boundary: Boundary = None,
    as_json: Json = False,
) -> None:
    """Mean and deviation of every field inside the domain; kept, so that training has them at once.

    Example: pdefm data stats data/mine
    """
    from pdefm.data.open import open_trajectories
    from pdefm.data.statistics import field_statistics
    from pdefm.progress import progress

    options = description(
        axes=axes, names=names, units=units, dt=dt, extent=extent, boundary=boundary
    )
    collection = open_trajectories(path, format, trust=trust, **options)
    with progress("statistics", len(collection), unit="trajectories") as advance:
        found = field_statistics(collection, progress=advance)
    if as_json:
        content = {name: {"mean": mean, "std": std} for name, (mean, std) in found.items()}
        print_json({"num_trajectories": len(collection), "statistics": content})
        return
    print_table("fields", ("name", "mean", "std"), ((name, *pair) for name, pair in found.items()))
