"""``pdefm demo``."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pdefm.cli.options import print_lines
from pdefm.errors import EnvironmentFault


def demo(
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Model to offer; may be repeated.")
    ] = None,
    adapter: Annotated[
        list[str] | None, typer.Option("--adapter", help="Adapter to offer; may be repeated.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address; the default is this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 7860,
    open: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
    export: Annotated[
        Path | None, typer.Option(help="Write a Hugging Face Space here instead of serving.")
    ] = None,
) -> None:
    """A page in the browser: solver and model side by side, error, spectrum, speed of each.

    Offers the models and adapters that are given, then those of `pdefm list`. Choose an equation
    with its parameters and the seed of its initial state, or upload a file; Run solves it and lets
    the model continue the first frames; the rollout can be downloaded. Nothing leaves this machine.

    Example: pdefm demo --model dpot-nano --port 7860
    """
    if find_spec("gradio") is None:
        raise EnvironmentFault("pdefm demo needs gradio", do="pip install 'pdefm[demo]'")
    from pdefm.demo.server import gradio_version, serve

    if export is not None:
        from pdefm.demo.space import export_space

        print_lines(
            f"Space in {export_space(export, model or [], adapter or [], gradio_version())}"
        )
        return
    serve(models=model or [], adapters=adapter or [], host=host, port=port, open_browser=open)
