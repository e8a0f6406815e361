"""The models at hand: shipped, published here, and downloaded from the Hub."""

from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from pdefm.config import shipped_recipes
from pdefm.hub.folder import PROCESSOR, ModelFolder, read_json
from pdefm.hub.resolve import local_models, models_folder

PROCESSOR_CLASS = "PDEProcessor"
LIBRARY = "pdefm"
"""Tag by which the Hub finds our models."""
TABLES = {
    "pdes": ("pdefm.pdes", "PDES"),
    "formats": ("pdefm.data.formats", "FORMATS"),
    "mixers": ("pdefm.models.mixers", "MIXERS"),
    "tasks": ("pdefm.tasks", "TASKS"),
    "tuners": ("pdefm.tuners", "TUNERS"),
    "baselines": ("pdefm.baselines", "BASELINES"),
}


@dataclass(frozen=True)
class ModelEntry:
    """One line of ``pdefm list``.

    Args:
        name: What ``resolve`` takes.
        kind: ``model`` or ``adapter``.
        source: ``shipped``, ``published`` or ``hub cache``.
        path: Its folder.
        size: Bytes of the files that count.
        num_parameters: Numbers in the weight files.
        fields: Physical fields that it knows.
    """

    name: str
    kind: str
    source: str
    path: Path
    size: int
    num_parameters: int
    fields: tuple[str, ...]


def count_parameters(weights: Path) -> int:
    """Numbers stored in a safetensors file; only its header is read."""
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _entry(name: str, source: str, path: Path) -> ModelEntry:
    folder = ModelFolder(path)
    return ModelEntry(
        name=name,
        kind=folder.kind,
        source=source,
        path=path,
        size=sum(file.stat().st_size for file in folder.contract_files()),
        num_parameters=sum(count_parameters(weights) for weights in folder.weight_files),
        fields=tuple(read_json(path / PROCESSOR).get("fields", {})),
    )


def _cached_snapshots() -> list[tuple[str, Path]]:
    """Name and folder of each pdefm model in the Hub's cache, every downloaded commit."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return []
    found = []
    for repo in cache.repos:
        for revision in repo.revisions:
            processor = revision.snapshot_path / PROCESSOR
            if repo.repo_type != "model" or not processor.is_file():
                continue
            if read_json(processor).get("processor_class") == PROCESSOR_CLASS:
                found.append((f"{repo.repo_id}@{revision.commit_hash}", revision.snapshot_path))
    return sorted(found)


def list_models() -> list[ModelEntry]:
    """Every complete model and adapter at hand; a folder that lacks files is left out.

    Raises:
        ModelError: A complete folder whose files cannot be read.
    """
    places = [
        (name, "published" if models_folder() in path.parents else "shipped", path)
        for name, path in local_models().items()
    ]
    places += [(name, "hub cache", path) for name, path in _cached_snapshots()]
    return [
        _entry(name, source, path)
        for name, source, path in places
        if not ModelFolder(path).missing_files()
    ]


def list_names(what: str) -> dict[str, str]:
    """Names that a recipe can say, and the first line of what each is.

    Args:
        what: ``pdes``, ``formats``, ``mixers``, ``tasks``, ``tuners`` or ``recipes``.
    """
    if what == "recipes":
        return {
            name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            for name, path in shipped_recipes().items()
        }
    module, table = TABLES[what]
    registry = getattr(import_module(module), table)
    return {name: (registry[name].__doc__ or "").partition("\n")[0] for name in registry}


def list_pdes() -> dict[str, dict[str, Any]]:
    """What each equation is: title, axes, fields, boundary, parameters, time step, as JSON."""
    from pdefm.pdes import PDES

    found = {}
    for name in sorted(PDES):
        pde = PDES[name]()
        found[name] = {
            "is": (PDES[name].__doc__ or "").partition("\n")[0],
            "num_dims": pde.num_dims,
            "steady": pde.steady,
            "fields": dict(zip(pde.channel_names, pde.channel_units, strict=True)),
            "boundary": sorted({str(side) for sides in pde.sides for side in sides}),
            "extent": list(pde.extent),
            "parameters": {key: list(pair) for key, pair in pde.parameter_ranges.items()},
            "dt": None if pde.steady else pde.dt,
        }
    return found
