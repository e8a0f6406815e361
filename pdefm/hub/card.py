"""The model card: metadata, evidence and limits, from the files of a model folder alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.evaluation.summary import (
    METRIC_NAMES,
    losing_datasets,
    number_rows,
    protocol_sentence,
    provenance,
    shown_metrics,
    summary_sentences,
    window_text,
)
from pdefm.files import write_text_atomic
from pdefm.hub.evidence import (
    MORE_RESULTS,
    gain_table,
    overview,
    read_named,
    read_studies,
    study_table,
    wins,
)
from pdefm.hub.folder import (
    ADAPTER_CONFIG,
    CARD,
    CONFIG,
    PROCESSOR,
    RESULTS,
    TRAINING,
    ModelFolder,
    read_json,
    run_folder_of,
)
from pdefm.hub.template import render_template
from pdefm.hub.training_record import dataset_rows, training_record
from pdefm.hub.training_record import training_facts as training_record_facts
from pdefm.repositories import REPOSITORY
from pdefm.tasks import TASKS
from pdefm.yaml_text import parse_yaml

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

MARKER = "<!-- Rendered by pdefm from the files beside it. Edit prose.md and render again. -->"
LICENSE = "apache-2.0"
HUB_DATASET = re.compile(rf"hf://datasets/({REPOSITORY.pattern})(?=[@/?]|$)")
RECIPE_KEYS = (
    "max_steps",
    "global_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "warmup_steps",
    "weight_decay",
    "bf16",
    "seed",
)


@dataclass(frozen=True)
class CardParts:
    """What a card is made of.

    Args:
        name: Hub id, or the name of the folder.
        processor: Content of ``processor_config.json``.
        config: Content of ``config.json`` (empty for an adapter).
        adapter: Content of ``adapter_config.json``, or None for a model.
        results: Content of ``results.json``, or None if nothing was evaluated.
        training: Content of ``training.json``, or None if the run is not known.
        more: Name to content of further ``results-NAME.json``.
        studies: Name to content of each ``pdefm finetune --study``.
        recipe: Resolved recipe of the training; empty if unknown.
        prose: Text written by hand.
        metadata: Metadata written by hand, at the top of ``prose.md``; wins over ours.
    """

    name: str
    processor: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Any] | None = None
    results: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    studies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    prose: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_folder(
        cls, folder: str | Path, name: str | None = None, prose_from: Path | None = None
    ) -> "CardParts":
        """Read a model or adapter folder, and the run around it if it is a checkpoint.

        Args:
            folder: Model or adapter folder.
            name: Hub id; by default ``model_name`` in the metadata of ``prose.md``, else the name
                of the folder.
            prose_from: Another folder of the same model, whose prose counts too.

        Raises:
            ModelError: A file is missing or not readable.
        """
        folder = Path(folder)
        is_adapter = ModelFolder(folder).kind == "adapter"
        adapter = read_json(folder / ADAPTER_CONFIG) if is_adapter else None
        run = run_folder_of(folder)
        places = [folder] if run is None else [run, folder]
        results = _first_file(places, RESULTS)
        recipe = _first_file(places, "recipe.yaml")
        training = _first_file([folder], TRAINING)
        more, studies = read_named(places, MORE_RESULTS), read_studies(places)
        if prose_from is not None:
            other = run_folder_of(prose_from)
            places += [prose_from] if other is None else [other, prose_from]
        prose = _first_file(places, "prose.md")
        metadata, text = _split_front_matter(prose) if prose else ({}, "")
        return cls(
            name=name or metadata.get("model_name") or (run or folder).resolve().name,
            processor=read_json(folder / PROCESSOR),
            config={} if is_adapter else read_json(folder / CONFIG),
            adapter=adapter,
            results=read_json(results) if results else None,
            training=_training(run, training),
            more=more,
            studies=studies,
            recipe=_recipe(adapter, recipe) or (_training(run, training) or {}).get("recipe", {}),
            prose=text,
            metadata=metadata,
        )


def _first_file(places: list[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def _training(run: Path | None, path: Path | None) -> Mapping[str, Any] | None:
    """The record beside the weights, else that of the run around them."""
    if path is not None:
        return read_json(path)
    return None if run is None else training_record(run)


def _recipe(adapter: Mapping[str, Any] | None, path: Path | None) -> Mapping[str, Any]:
    """The recipe beside the run, else the one that an adapter carries."""
    if path is not None:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    return (adapter or {}).get("recipe") or {}


def _split_front_matter(prose: Path) -> tuple[Mapping[str, Any], str]:
    """Metadata between two ``---`` lines at the top, and the text below."""
    text = prose.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if match is None:
        return {}, text.strip()
    return parse_yaml(match[1], str(prose)), text[match.end() :].strip()


def base_label(adapter: Mapping[str, Any]) -> str:
    """Name of an adapter's base; of a local path only the last part, which is all others need."""
    name = str(adapter["base"]["name"])
    return name if REPOSITORY.fullmatch(name) else Path(name).name


def _evaluations(parts: CardParts) -> list[Any]:
    """The finite averages, in the Hub's form."""
    from huggingface_hub import EvalResult

    datasets = (parts.results or {}).get("datasets", {})
    return [
        EvalResult(
            task_type="other",
            task_name=f"PDE {(parts.adapter or {}).get('task', 'forecasting')}",
            dataset_type=name,
            dataset_name=name,
            metric_type=metric,
            metric_value=entry["metrics"][metric],
        )
        for name, entry in datasets.items()
        for metric in METRIC_NAMES
        if (value := entry["metrics"].get(metric)) is not None and isfinite(value)
    ]


def hub_datasets(parts: CardParts) -> list[str]:
    """Datasets of the Hub that the training read; the Hub links no others."""
    origins = [each["origin"] for each in (parts.training or {}).get("datasets", [])]
    found = [match[1] for origin in origins if (match := HUB_DATASET.match(str(origin)))]
    return list(dict.fromkeys(found))


def card_metadata(parts: CardParts) -> "ModelCardData":
    """Metadata for the Hub: what ``prose.md`` gives wins, the rest follows from the files."""
    from huggingface_hub import ModelCardData

    tags = ["physics", "partial-differential-equations", "neural-operator", "surrogate-model"]
    own: dict[str, Any] = {
        "library_name": "pdefm",
        "license": LICENSE,
        "tags": tags + (["adapter"] if parts.adapter else []),
    }
    if datasets := hub_datasets(parts):
        own["datasets"] = datasets
    if parts.adapter and REPOSITORY.fullmatch(base_label(parts.adapter)):
        own |= {"base_model": base_label(parts.adapter), "base_model_relation": "adapter"}
    if evaluations := _evaluations(parts):
        own |= {"eval_results": evaluations, "model_name": parts.name.rpartition("/")[2]}
    return ModelCardData(**own | dict(parts.metadata))


def field_rows(parts: CardParts) -> list[tuple[str, str, str, str]]:
    """Per field: name, unit, mean and standard deviation."""
    return [
        (name, str(entry["unit"]), f"{entry['mean']:.4g}", f"{entry['std']:.4g}")
        for name, entry in parts.processor.get("fields", {}).items()
    ]


def _grids(shapes: list[list[int]]) -> str:
    return ", ".join(" x ".join(str(points) for points in shape) for shape in shapes)


def training_facts(parts: CardParts) -> dict[str, str]:
    """What the processor remembers of the training data."""
    processor = parts.processor
    dt = processor.get("dt")
    facts = {
        "frames that it sees (history)": str(processor["history"]),
        "frames that it predicts at once (horizon)": str(processor.get("horizon", 1)),
        "grids": _grids(processor.get("resolutions") or []),
        "time step": "" if not dt else f"{min(dt):g} to {max(dt):g}",
        "boundaries": ", ".join(processor.get("boundaries") or []),
    }
    return {label: text or "not recorded" for label, text in facts.items()}


def _scalars(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Leaves of a nested recipe, by their last key."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _scalars(value)
        elif value is not None:
            yield key, value


def recipe_facts(parts: CardParts) -> dict[str, str]:
    """The lines of the recipe that a reader asks for first."""
    leaves = dict(_scalars(parts.recipe))
    facts = {key: str(leaves[key]) for key in RECIPE_KEYS if key in leaves}
    if parts.adapter:
        facts = {"task": parts.adapter["task"], "tuner": parts.adapter["tuner"]} | facts
    return facts


def limits(parts: CardParts) -> list[str]:
    """Where the model should not be trusted, as far as the files can tell."""
    recorded = any(parts.processor.get(key) for key in ("resolutions", "dt", "boundaries"))
    training = (
        "Grids, time steps and boundary conditions other than those listed were not part of its "
        "training."
        if recorded
        else "Which grids, time steps and boundary conditions it was trained on was not recorded."
    )
    sentences = [f"It knows only the fields listed above. {training}"]
    if parts.results is None:
        return [*sentences, "Its accuracy is unknown."]
    measured: dict[str, list[str]] = {}
    for name, entry in parts.results["datasets"].items():
        kind = "rolled out for" if "num_steps" in entry else "measured on"
        count = f"{window_text(entry)} over {entry['num_trajectories']} trajectories"
        measured.setdefault(f"{kind} {count}", []).append(name)
    beyond = "only the further tables above go beyond" if parts.more else "nothing is known beyond"
    for how, names in measured.items():
        sentences.append(f"On {', '.join(names)} it was {how}; {beyond}.")
    for name, baselines in losing_datasets(parts.results).items():
        sentences.append(f"On {name} it loses against {' and '.join(baselines)}.")
    return sentences


def render_card(source: CardParts | str | Path) -> str:
    """Markdown of a model card, with metadata that the Hub accepts.

    Args:
        source: The parts, or a model or adapter folder.

    Raises:
        ModelError: A file is missing, or the metadata is not valid.
    """
    from huggingface_hub import ModelCard
    from jinja2 import UndefinedError

    parts = source if isinstance(source, CardParts) else CardParts.from_folder(source)
    results = parts.results
    try:
        text = render_template(
            "card.md.jinja",
            metadata=card_metadata(parts).to_yaml(),
            marker=MARKER,
            parts=parts,
            base=base_label(parts.adapter) if parts.adapter else None,
            fields=field_rows(parts),
            facts=training_facts(parts),
            recipe=recipe_facts(parts),
            limits=limits(parts),
            forecasts=not parts.adapter or TASKS[parts.adapter["task"]].forecasts,
            datasets=results["datasets"] if results else {},
            metric_names=METRIC_NAMES,
            shown={name: shown_metrics(results, name) for name in results["datasets"]}
            if results
            else {},
            window_text=window_text,
            rows={name: number_rows(results, name) for name in results["datasets"]}
            if results
            else {},
            sentences=summary_sentences(results) if results else [],
            protocol=protocol_sentence(results) if results else "",
            provenance=provenance(results) if results else {},
            more=parts.more,
            studies=parts.studies,
            overview=overview,
            wins=wins,
            study_table=study_table,
            gain_table=gain_table,
            training=training_record_facts(parts.training) if parts.training else {},
            sources=dataset_rows(parts.training) if parts.training else [],
        )
        ModelCard(text)
    except (KeyError, TypeError, ValueError, UndefinedError) as error:
        raise ModelError(
            f"cannot render a card for '{parts.name}'",
            got=f"{type(error).__name__} {error}",
            do="Check processor_config.json, results.json and the metadata of prose.md",
        ) from error
    return text.rstrip() + "\n"


def is_rendered(text: str) -> bool:
    """True for a card that pdefm wrote, which it may replace."""
    return MARKER in text


def write_card(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Render ``README.md`` in a model or adapter folder.

    Args:
        folder: Where the model lies.
        overwrite: Replace a ``README.md`` that pdefm did not write.

    Returns:
        Path of the card.

    Raises:
        ModelError: A file is missing or not readable.
        EnvironmentFault: A card written by hand is there, or the folder is not writable.
    """
    if (Path(folder) / "checkpoints").is_dir():
        raise ModelError(
            f"{folder} is a run, and the card belongs to the model that is published from it",
            do=f"Use pdefm publish {folder} --out models/NAME, which renders the card",
        )
    card = Path(folder) / CARD
    if card.is_file() and not is_rendered(card.read_text(encoding="utf-8")) and not overwrite:
        raise EnvironmentFault(
            f"{card} exists and was not written by pdefm",
            do="Move its text to prose.md, or pass --overwrite",
        )
    write_text_atomic(card, render_card(folder))
    return card
