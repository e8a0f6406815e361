"""Templates of the cards."""

from importlib.resources import files
from typing import Any


def render_template(file: str, /, **values: Any) -> str:
    """Text of a template of this folder; a value that it misses is an error.

    Raises:
        UndefinedError: A value is missing.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    template = files("pdefm.hub").joinpath(file).read_text(encoding="utf-8")
    return environment.from_string(template).render(**values)
