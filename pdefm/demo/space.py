"""The page as a folder that a Hugging Face Space runs."""

from pathlib import Path

import yaml

from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.files import atomic_folder, write_text_atomic
from pdefm.repositories import REPOSITORY

APP = '''"""The page of pdefm as a Space."""

import os

from pdefm.demo.server import serve

if __name__ == "__main__":
    serve(
        models={models!r},
        adapters={adapters!r},
        host=os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"),
        port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
    )
'''
CARD = """# Solver and model side by side

Choose a model and an equation, or upload a file of your own: a numerical solver makes the
trajectory, the model continues its first frames, and the page shows fields, errors, spectra and
the time that each of them took. Made by `pdefm demo --export`.
"""


def export_space(
    out: str | Path, models: list[str], adapters: list[str], gradio_version: str
) -> Path:
    """Write ``app.py``, ``requirements.txt`` and ``README.md``.

    Args:
        out: New or empty folder.
        models: Repository ids, or folders that lie beside ``app.py`` in the Space.
        adapters: The same of adapters.
        gradio_version: Version that the Space installs.

    Returns:
        ``out``.

    Raises:
        RecipeError: No model or adapter, of which a Space has none of its own.
        EnvironmentFault: ``out`` holds something, or cannot be written.
    """
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise EnvironmentFault(f"{out} is not empty", do="Choose another --export")
    if not models and not adapters:
        raise RecipeError(
            "a Space needs a model", do="Name one on the Hub, as in --model owner/name"
        )
    facts = {
        "title": "pdefm: solver and model",
        "sdk": "gradio",
        "sdk_version": gradio_version,
        "app_file": "app.py",
        "license": "apache-2.0",
        "models": [name for name in (*models, *adapters) if REPOSITORY.fullmatch(name)],
    }
    front = yaml.safe_dump(facts, sort_keys=False)
    with atomic_folder(out) as folder:
        write_text_atomic(folder / "app.py", APP.format(models=models, adapters=adapters))
        write_text_atomic(folder / "requirements.txt", "torch\npdefm[demo]\n")
        write_text_atomic(folder / "README.md", f"---\n{front}---\n\n{CARD}")
    return out
