"""``pdefm compare``."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, print_json, print_lines, print_table


def compare(
    one: Annotated[str, typer.Argument(metavar="A.json", help="Results of the first.")],
    other: Annotated[str, typer.Argument(metavar="B.json", help="Results of the second.")],
    metric: Annotated[
        str, typer.Option(help="A metric of every trajectory; lower is better.")
    ] = "relative_l2",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Which of two models is better, and which differences are real, trajectory by trajectory.

    Example: pdefm compare runs/a/results.json runs/b/results.json
    """
    from pdefm.evaluation.compare import compare as run
    from pdefm.evaluation.compare import read_results

    found = run(read_results(one), read_results(other), metric=metric, seed=seed)
    if as_json:
        print_json(found)
        return
    print_table(
        f"{metric}: A is {one}, B is {other}",
        ("dataset", "trajectories", "A", "B", "B - A", "95 % interval", "verdict"),
        (
            (
                name,
                e["num_trajectories"],
                e["a"],
                e["b"],
                e["difference"],
                f"{e['interval'][0]:.4g} to {e['interval'][1]:.4g}",
                e["verdict"],
            )
            for name, e in found["datasets"].items()
        ),
    )
    if found["left_out"]:
        print_lines(f"only one of them has {', '.join(found['left_out'])}")
