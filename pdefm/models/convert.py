"""Published checkpoints of other projects to model folders."""

from pathlib import Path
from typing import Any

from pdefm.errors import RecipeError
from pdefm.files import atomic_folder, make_readable
from pdefm.models.dpot.convert_dpot import convert_dpot
from pdefm.models.loading import save_model
from pdefm.registry import nearest_name_hint

CONVERTERS = {"dpot": convert_dpot}


def convert_checkpoint(
    kind: str, file: Path, out: Path, *, modes: int, act: str, overwrite: bool = False
) -> dict[str, Any]:
    """Write a model folder.

    Args:
        kind: Name in ``CONVERTERS``.
        file: Published checkpoint.
        out: Model folder.
        modes: Kept frequencies.
        act: Activation.
        overwrite: Replace an existing folder.

    Returns:
        Parameters, fields, frames, and the tensors that were left out.

    Raises:
        PdefmError: Unknown kind, unreadable file, or a file that is no such model.
    """
    if kind not in CONVERTERS:
        raise RecipeError(
            "unknown checkpoint kind",
            got=f"'{kind}'",
            do=nearest_name_hint(kind, list(CONVERTERS)),
        )
    with atomic_folder(out, overwrite) as folder:
        model, processor, dropped = CONVERTERS[kind](file, modes=modes, act=act)
        save_model(folder, model, processor)
        make_readable(folder)
    return {
        "out": str(out),
        "num_parameters": model.num_parameters(),
        "field_names": list(processor.fields),
        "history": processor.history,
        "horizon": processor.horizon,
        "dropped": dropped,
    }
