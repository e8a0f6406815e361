"""``pdefm data``: generate, inspect and gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdefm.cli.data_convert import convert, stats
from pdefm.cli.data_doctor import doctor
from pdefm.cli.data_inspect import inspect, print_summary
from pdefm.cli.data_publish import publish
from pdefm.cli.options import (
    Json,
    Out,
    Overwrite,
    print_json,
    print_lines,
    print_table,
)

if TYPE_CHECKING:
    from pdefm.data.generate import Order

app = typer.Typer(help="Make and look at trajectories.", no_args_is_help=True)
app.command()(convert)
app.command()(stats)
app.command()(publish)
app.command()(inspect)
app.command()(doctor)


@app.command()
def generate(
    families: Annotated[
        list[str],
        typer.Argument(help="Equations, such as gray_scott; all of them; or a recipe.yaml."),
    ],
    out: Out,
    preset: Annotated[
        str | None, typer.Option(help="tiny, small or base: sizes for every equation.")
    ] = None,
    num_trajectories: Annotated[int | None, typer.Option(help="How many of each; 8.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Points per axis; 64.")] = None,
    num_frames: Annotated[
        int | None, typer.Option(help="Frames, the initial state included; 21, steady ones 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the samples; 0.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, valid or test: different samples; train.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    num_workers: Annotated[
        int, typer.Option(min=1, help="Processes; any number gives the same files.")
    ] = 1,
    shard_size: Annotated[int | None, typer.Option(help="Trajectories a file; 64.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Setting of the equation, as dt=0.5, or recipe key."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Solve equations into HDF5 files of The Well's layout; the same command goes on after a kill.

    Example: pdefm data generate allen_cahn --num-trajectories 4 --seed 1 --out data/allen_cahn
    """
    from pdefm.data.generate import Generation
    from pdefm.data.orders import launched_as, orders_for
    from pdefm.progress import progress

    orders = orders_for(
        families,
        out,
        preset=preset,
        num_trajectories=num_trajectories,
        resolution=resolution,
        num_frames=num_frames,
        seed=seed,
        split=split,
        device=device,
        settings=settings or [],
        shard_size=shard_size,
    )
    rank, world_size = launched_as()
    work = Generation(
        orders,
        overwrite=overwrite,
        keep_finished=len(orders) > 1,
        rank=rank,
        world_size=world_size,
    )
    what = orders[0].family if len(orders) == 1 else f"{len(orders)} sets"
    with progress(
        f"solve {what}", work.total, unit="trajectories", done=work.done, show=rank == 0
    ) as advance:
        work.run(num_workers=num_workers, progress=advance)
    _tell_generated(orders, out, as_json)


def _tell_generated(orders: "list[Order]", out: Path, as_json: bool) -> None:
    from pdefm.data.open import open_trajectories
    from pdefm.data.summary import summarise

    found = [
        {
            "out": str(o.out),
            **summarise(open_trajectories(o.out, "well", split=o.split, trust=True)),
        }
        for o in orders
    ]
    if as_json:
        print_json(found[0] if len(orders) == 1 else {"out": str(out), "sets": found})
        return
    if len(orders) == 1:
        print_summary(found[0])
    else:
        header = ("folder", "trajectories", "frames", "grid", "fields")
        rows = [
            (
                *(Path(summary["out"]).name, summary["num_trajectories"], summary["num_frames"][0]),
                " x ".join(map(str, summary["shape"][2:])),
                ", ".join(summary["names"]),
            )
            for summary in found
        ]
        print_table("generated", header, rows)
    print_lines(f"next: pdefm data inspect {found[0]['out']}")


@app.command()
def gallery(
    out: Annotated[Path, typer.Option("--out", help="The picture, a PNG.")],
    families: Annotated[
        list[str] | None, typer.Argument(help="Equations; all unless given.")
    ] = None,
    num_frames: Annotated[int, typer.Option(min=2, help="The last frame is drawn.")] = 21,
    resolution: Annotated[
        int | None, typer.Option(help="Points per axis; 64 in two dimensions.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the samples.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw one sample of each equation on one page.

    Example: pdefm data gallery --out gallery.png
    """
    from pdefm.data.gallery import gallery as draw
    from pdefm.pdes import PDES
    from pdefm.progress import progress

    count = len(families or PDES)
    with progress("solve", count, unit="equations") as advance:
        path = draw(
            out,
            families=families or (),
            num_frames=num_frames,
            resolution=resolution,
            seed=seed,
            progress=advance,
        )
    if as_json:
        print_json({"out": str(path), "num_equations": count})
    else:
        print_lines(f"{count} equations on {path}")
