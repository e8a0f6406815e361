"""``pdefm convert``."""

from pathlib import Path
from typing import Annotated

import typer

from pdefm.cli.options import Json, Out, Overwrite, print_json, print_lines


def convert(
    kind: Annotated[str, typer.Argument(help="What the file is: dpot.")],
    file: Annotated[Path, typer.Argument(help="Published checkpoint, such as model_Ti.pth.")],
    out: Out,
    modes: Annotated[int, typer.Option(help="Kept frequencies; not stored in the file.")] = 32,
    act: Annotated[str, typer.Option(help="Activation; not stored in the file.")] = "gelu",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a published checkpoint into a model folder; reads tensors only and runs no code.

    Example: pdefm convert dpot model_Ti.pth --out models/dpot-ti
    """
    from pdefm.models.convert import convert_checkpoint

    report = convert_checkpoint(kind, file, out, modes=modes, act=act, overwrite=overwrite)
    if as_json:
        print_json(report)
        return
    print_lines(
        f"{report['num_parameters']:,} parameters, fields {', '.join(report['field_names'])},"
        f" history {report['history']}, horizon {report['horizon']}",
        f"left out: optimizer state, {len(report['dropped'])} tensors of the unused class head",
        f"written to {out}",
    )
