"""A small YAML file in the place of data: where they lie, and what they do not say themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field as Limits

from pdefm.config import Section, section_from_dict
from pdefm.errors import DataError, RecipeError
from pdefm.yaml_text import parse_yaml

SUFFIXES = (".yaml", ".yml")


class DataFile(Section):
    """What ``my_data.yaml`` may say; only ``path`` is needed."""

    path: str
    """File or folder, relative to the folder of this YAML file."""
    format: str = "auto"
    """Name in the table of formats."""
    axes: str | None = None
    """Meaning of the array's axes, such as ``N T C X Y``."""
    names: list[str] | None = None
    """Field name of each channel."""
    units: list[str] | None = None
    """Unit of each channel."""
    dt: float | None = Limits(default=None, gt=0)
    """Time between frames."""
    extent: list[float] | None = None
    """Length of each space axis."""
    boundary: str | None = None
    """``periodic``, ``wall`` or ``open``."""
    variables: dict[str, str] | None = None
    """Field name to where the file keeps it, as ``u: velocity/x``."""


def follow_data_file(
    path: str | Path, format: str = "auto", description: Mapping[str, Any] | None = None
) -> tuple[str | Path, str, dict[str, Any]]:
    """What a YAML file in the place of data stands for; any other path stays as it is.

    Args:
        path: File or folder of data, or a YAML file that describes them.
        format: As the user says; ``auto`` leaves it to the YAML file.
        description: Options that the user gives; they win over the YAML file.

    Returns:
        Path, format and description options.

    Raises:
        RecipeError: A broken YAML file, an unknown key, or one that leads to another YAML file.
    """
    given = {key: value for key, value in (description or {}).items() if value is not None}
    place = Path(path).expanduser()
    if place.suffix.lower() not in SUFFIXES or not place.is_file():
        return path, format, given
    data = _read(place)
    is_place = ":/" in data.path  # such as pde://
    target = data.path if is_place else place.parent / Path(data.path).expanduser()
    if Path(data.path).suffix.lower() in SUFFIXES:
        raise RecipeError(
            f"{place}: path must be data, not another YAML file", got=data.path, do="Give the data"
        )
    said = data.model_dump(exclude={"path", "format"}, exclude_none=True)
    return target, data.format if format == "auto" else format, said | given


def _read(path: Path) -> DataFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(
            f"{path}: the description of the data cannot be read",
            got=reason,
            do="Give a YAML text file",
        ) from None
    return section_from_dict(DataFile, parse_yaml(text, str(path)), str(path))
