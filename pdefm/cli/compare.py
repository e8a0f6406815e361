"""``pdefm compare``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pdefm.cli.options import Json, print_json, print_lines, print_table

HEADER = ("dataset", "trajectories", "A", "B", "B - A", "95 % interval", "verdict")


def _report(title: str, found: Mapping[str, Any]) -> None:
    """One table: a line a dataset."""
    print_table(
        title,
        HEADER,
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
    if found.get("equal_bit_for_bit"):
        print_lines("equal bit for bit, times aside")


def _report_all(first: str, comparisons: Mapping[str, Mapping[str, Any]]) -> None:
    """A table for each of the others, and how many differences are real."""
    for label, found in comparisons.items():
        _report(f"{found['metric']}: A is {first}, B is {label}", found)
    rows = [e["verdict"] for found in comparisons.values() for e in found["datasets"].values()]
    real = [verdict for verdict in rows if verdict.endswith("is better")]
    if len(rows) > 1:
        print_lines(
            f"{len(real)} of {len(rows)} differences are real, each by a 95 % interval of its own;"
            f" chance alone makes about {0.05 * len(rows):.2g} of so many look real"
        )


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="A.json [B.json ...]",
            help="Results; each is compared with the first. One alone: with its own baselines.",
        ),
    ],
    metric: Annotated[
        str, typer.Option(help="A metric of every trajectory, such as crps.")
    ] = "relative_l2",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Which of two models is better, and which differences are real, trajectory by trajectory.

    Example: pdefm compare runs/a/results.json runs/b/results.json
    """
    from pdefm.evaluation.compare import compare as run
    from pdefm.evaluation.compare import compare_within, read_results

    first, *others = results
    one = read_results(first)
    if others:
        comparisons = {
            path: run(one, read_results(path), metric=metric, seed=seed) for path in others
        }
    else:
        comparisons = compare_within(one, metric=metric, seed=seed)
    if as_json:
        two = len(others) == 1
        print_json(comparisons[others[0]] if two else {"comparisons": comparisons})
        return
    _report_all(first if others else "this model", comparisons)
