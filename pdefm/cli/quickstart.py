"""``pdefm quickstart``."""

import sys
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer

from pdefm.cli.options import Json, Overrides, Overwrite, Seed, print_json, print_lines, print_table


def _say(text: str) -> None:
    sys.stderr.write(f"\n{text}\n")
    sys.stderr.flush()


def quickstart(
    out: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path(
        "pdefm-quickstart"
    ),
    overrides: Overrides = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Do the whole job once: solve, fine-tune the shipped model, evaluate, publish, report.

    Example: pdefm quickstart --out first-look
    """
    from pdefm.quickstart import quickstart as run

    summary = run(out, overrides=overrides or [], seed=seed, overwrite=overwrite, say=_say)
    if as_json:
        print_json(summary)
        return
    errors = summary["errors"]
    print_table(
        "unseen Allen-Cahn trajectories, whole rollout",
        ("", "relative L2"),
        sorted(errors.items(), key=itemgetter(1)),
    )
    print_lines(
        f"report     {summary['report']}",
        f"animation  {summary['animation']}",
        f"model      {summary['model']}",
        f"adapter    {summary['adapter']}",
        f"{summary['seconds']:.0f} s",
        "",
        "Next, with your own data (N trajectories, T times, X by Y points):",
        '  pdefm data inspect my.npy --axes "N T X Y" --names phase --picture my.png',
        f"  pdefm finetune --model {summary['model']} --data my.npy --axes 'N T X Y' --names phase"
        " --out runs/mine",
    )
