"""Options that several verbs share, and how results are printed."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, as a.b=c."),
]
Seed = Annotated[int | None, typer.Option(help="Seed; replaces the recipe's.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Out = Annotated[Path, typer.Option("--out", help="Output folder or file.")]
Model = Annotated[
    str, typer.Option("--model", help="Model folder, run folder, published name or repository id.")
]
Adapter = Annotated[
    str | None, typer.Option("--adapter", help="Adapter folder, run folder or repository id.")
]
Data = Annotated[str, typer.Option("--data", help="File or folder of trajectories.")]
Format = Annotated[str, typer.Option("--format", help="File format, or auto.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Open files of your own without looking into them first.")
]
Axes = Annotated[
    str | None, typer.Option("--axes", help="Meaning of an array's axes, as 'N T C X Y'.")
]
Variables = Annotated[
    str | None,
    typer.Option("--variables", help="Fields and where the file has them, as u=velocity/x,p."),
]
Names = Annotated[str | None, typer.Option("--names", help="Field names of the channels, as a,b.")]
Units = Annotated[str | None, typer.Option("--units", help="Units of the channels, as m/s,Pa.")]
Dt = Annotated[float | None, typer.Option("--dt", help="Time between frames.")]
Extent = Annotated[str | None, typer.Option("--extent", help="Length of each space axis, as 1,1.")]
Boundary = Annotated[
    str | None, typer.Option("--boundary", help="periodic, wall or open, on all sides.")
]


def description(**options: Any) -> dict[str, Any]:
    """Description options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def with_seed(overrides: list[str] | None, seed: int | None) -> list[str]:
    """Overrides of a recipe, with the seed among them."""
    return [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]


_results: ContextVar[TextIO | None] = ContextVar("results", default=None)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Send to stderr what other libraries print; :func:`print_json` still reaches stdout."""
    token = _results.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results.reset(token)


def _is_main_process() -> bool:
    """False on all but one of the processes that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def held_out_line(summary: Mapping[str, Any], *, forecasts: bool = True) -> str:
    """Validation errors at the end of a training."""
    errors = ", ".join(f"{name} {error:.4f}" for name, error in summary["validation"].items())
    return f"{'one-step ' if forecasts else ''}relative L2 on held-out data: {errors}"


def print_json(content: Any) -> None:
    """One JSON object on stdout."""
    if _is_main_process():
        (_results.get() or sys.stdout).write(json.dumps(content) + "\n")


def print_lines(*lines: str) -> None:
    """Plain lines on stdout."""
    if _is_main_process():
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def print_table(
    title: str, header: Iterable[str], rows: Iterable[Iterable[object]], *, of_text: bool = False
) -> None:
    """A table on stdout; columns of text start at the left, and a line parts their rows."""
    if not _is_main_process():
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_lines=of_text)
    for i, name in enumerate(header):
        justify = "left" if i == 0 or of_text else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(number(cell) for cell in row))
    Console().print(table)


def number(value: object) -> str:
    """Text of a table cell."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
