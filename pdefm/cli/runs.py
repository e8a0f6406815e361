"""``pdefm runs``."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, print_json, print_lines, print_table


def runs(
    folder: Annotated[str, typer.Argument(help="Where to look.")] = "runs",
    as_json: Json = False,
) -> None:
    """List the runs below a folder: how far they are and where they can go on.

    Example: pdefm runs runs
    """
    from pdefm.train.run_listing import list_runs

    found = list_runs(folder)
    if as_json:
        print_json({"runs": [{**vars(run), "path": str(run.path)} for run in found]})
        return
    if not found:
        print_lines(f"no runs below {folder}")
        return
    print_table(
        "runs",
        ("run", "recipe", "state", "step", "of", "loss", "saved", "best", "error"),
        (
            (
                str(run.path),
                run.recipe,
                run.state,
                run.step,
                run.max_steps,
                "" if run.loss is None else run.loss,
                "none" if run.checkpoint is None else run.checkpoint,
                "" if run.best is None else run.best,
                "" if run.best_error is None else run.best_error,
            )
            for run in found
        ),
    )
