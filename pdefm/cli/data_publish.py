"""``pdefm data publish``: trajectories for everybody."""

from typing import Annotated

import typer

from pdefm.cli.options import Json, print_json, print_lines


def publish(
    folder: Annotated[str, typer.Argument(help="Folder of data convert or data generate.")],
    repo: Annotated[str, typer.Option(help="Dataset on the Hub, as user/name.")],
    private: Annotated[bool, typer.Option(help="Make a new dataset private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch of the dataset.")] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Id such as cc-by-4.0; needed if the source's is unknown or NC."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upload converted or generated data to the Hub, with a card that describes them.

    Example: pdefm data publish data/mine --repo me/mine --licence cc-by-4.0
    """
    from pdefm.hub.publish_data import publish_data

    result = publish_data(folder, repo, private=private, revision=revision, licence=licence)
    if as_json:
        print_json(
            {"url_or_path": result.url_or_path, "revision": result.revision, "files": result.files}
        )
        return
    print_lines(
        f"published {len(result.files)} files to {result.url_or_path} at revision"
        f" {result.revision}",
        f"next: pdefm data inspect hf://datasets/{repo}@{result.revision}",
    )
