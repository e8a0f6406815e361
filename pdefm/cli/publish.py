"""``pdefm publish``."""

from pathlib import Path
from typing import Annotated

import typer

from pdefm.cli.options import Json, Overwrite, print_json, print_lines


def publish(
    folder: Annotated[str, typer.Argument(help="Run, model or adapter folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to publish to.")] = None,
    repo: Annotated[str | None, typer.Option(help="Hub repository, as user/name.")] = None,
    name: Annotated[str | None, typer.Option(help="Local name, found by every verb.")] = None,
    private: Annotated[bool, typer.Option(help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch of the repository.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Publish the newest checkpoint of a run, a model or an adapter, with its card and manifest.

    Example: pdefm publish runs/smoke --out models/smoke
    """
    from pdefm.hub.publish import publish as run

    result = run(
        folder,
        out=out,
        repo=repo,
        name=name,
        private=private,
        overwrite=overwrite,
        revision=revision,
    )
    if as_json:
        print_json(
            {"url_or_path": result.url_or_path, "revision": result.revision, "files": result.files}
        )
        return
    at = f" at revision {result.revision}" if result.revision else ""
    print_lines(f"published {len(result.files)} files to {result.url_or_path}{at}")
