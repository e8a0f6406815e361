"""One self-contained HTML page about a run: numbers, curves, pictures and where they came from."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pdefm.data.trajectory import Trajectory
from pdefm.evaluation.animation import gif_bytes
from pdefm.evaluation.fields import common_frames, spread_frames, time_label
from pdefm.evaluation.panels import comparison_panel
from pdefm.evaluation.plots import (
    error_versus_time,
    loss_curves,
    mixture_shares,
    png_bytes,
    spectra,
)
from pdefm.evaluation.summary import (
    METRIC_NAMES,
    number_rows,
    protocol_sentence,
    provenance,
    shown_metrics,
    subject,
    summary_sentences,
    window_text,
)
from pdefm.files import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_COLUMNS = 4


class Example(NamedTuple):
    """One trajectory to look at: its truth and what each model made of it."""

    dataset: str
    field: str
    truth: Trajectory
    predictions: dict[str, Trajectory]
    title: str = ""


@dataclass(frozen=True)
class ReportInput:
    """All that a report shows.

    Args:
        title: Heading of the page.
        results: Contents of one results.json or several; every number comes from here.
        runs: Label to the rows of a run's ``metrics.jsonl``.
        examples: Trajectories with predictions; a plain tuple in :class:`Example`'s order will do.
        subtitle: One line under the title.
        notes: What could not be shown, and why.
        time_unit: Unit of the trajectories' times, if known.
    """

    title: str
    results: Sequence[Mapping[str, Any]]
    runs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    examples: Sequence[Example | tuple[Any, ...]] = ()
    subtitle: str = ""
    notes: Sequence[str] = ()
    time_unit: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded image with its words."""

    uri: str
    caption: str
    width: int


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def _picture(figure: "Figure", caption: str) -> Picture:
    """PNG of a figure, sharp on dense screens."""
    width = round(figure.get_figwidth() * 100)
    return Picture(_data_uri(png_bytes(figure), "png"), caption, width)


def _gif_picture(content: bytes, caption: str) -> Picture:
    from PIL import Image

    width = Image.open(BytesIO(content)).width
    return Picture(_data_uri(content, "gif"), caption, width)


def _training_pictures(report: ReportInput) -> list[Picture]:
    pictures = []
    for label, lines in report.runs.items():
        if any("loss" in line for line in lines):
            words = "Dots are the validation error; the lower panel is the learning rate."
            pictures.append(_picture(loss_curves(lines), f"Training of {label}. {words}"))
        if len(sources := {name for line in lines for name in line.get("shares", {})}) > 1:
            words = f"What {label} was trained on: share of each of {len(sources)} sources so far."
            pictures.append(_picture(mixture_shares(lines), words))
    return pictures


def _error_picture(report: ReportInput, results: Mapping[str, Any], dataset: str) -> Picture:
    entry = results["datasets"][dataset]
    baselines = entry.get("baselines", {})
    curves = {subject(results): entry["per_step"]} | {
        label: numbers["per_step"] for label, numbers in baselines.items() if "per_step" in numbers
    }
    num_steps = len(entry["per_step"]["relative_l2"]["mean"])
    times = [entry["dt"] * (step + 1) for step in range(num_steps)]
    return _picture(
        error_versus_time(curves, times, time_unit=report.time_unit),
        "Relative L2 error while the model feeds on its own output. Lines are means over "
        f"{entry['num_trajectories']} trajectories, bands the 10th to 90th percentile.",
    )


def _example_pictures(report: ReportInput, example: Example) -> list[Picture]:
    dataset, name, truth, predictions, _ = example
    frames = common_frames(truth, predictions)
    unit = report.time_unit
    cut = " (central slice)" if truth.grid.num_dims == 3 else ""
    last = time_label(float(truth.times[frames[-1]]), unit)
    return [
        _picture(
            comparison_panel(
                truth, predictions, name, spread_frames(frames, PANEL_COLUMNS), time_unit=unit
            ),
            f"{name}{cut} on {dataset}, {truth.source}. Truth and predictions share one scale, "
            "errors another; grey is outside the domain or not finite.",
        ),
        _gif_picture(
            gif_bytes(truth, predictions, name, time_unit=unit),
            f"The same rollout in motion: {name}{cut}, truth, prediction and error.",
        ),
        _picture(
            spectra(truth, predictions, name, frames[-1], time_unit=unit),
            f"Energy spectrum of {name} at {last}. Energy missing on the right is lost fine "
            "structure, energy above the truth is noise.",
        ),
    ]


def _dataset_section(
    report: ReportInput, results: Mapping[str, Any], dataset: str
) -> dict[str, Any]:
    """What the template shows of one dataset."""
    entry = results["datasets"][dataset]
    names, units = entry.get("field_names", []), entry.get("units", [])
    facts = {
        "fields": ", ".join(f"{n} [{u}]" for n, u in zip(names, units, strict=False)),
        "grid": " x ".join(str(points) for points in entry.get("resolution", [])),
        "time step": f"{entry['dt'] or 0:g} {report.time_unit}".rstrip(),
        "trajectories": str(entry["num_trajectories"]),
        "window": window_text(entry),
    }
    given = [each for each in report.examples if each[0] == dataset]
    examples = [each if isinstance(each, Example) else Example(*each) for each in given]
    pictures = [_error_picture(report, results, dataset)] if "per_step" in entry else []
    return {
        "name": dataset,
        "facts": {label: text for label, text in facts.items() if text},
        "columns": [METRIC_NAMES[name] for name in shown_metrics(results, dataset)],
        "rows": number_rows(results, dataset),
        "pictures": pictures,
        "examples": [(each.title, _example_pictures(report, each)) for each in examples],
    }


def render_report(report: ReportInput) -> str:
    """HTML of a report; images are inside, nothing is loaded from anywhere.

    Raises:
        DataError: An example lacks its field or shares no time with a prediction.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("pdefm.evaluation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        title=report.title,
        subtitle=report.subtitle,
        sentences=[text for results in report.results for text in summary_sentences(results)],
        protocols=dict.fromkeys(protocol_sentence(results) for results in report.results),
        datasets=[
            _dataset_section(report, results, name)
            for results in report.results
            for name in results["datasets"]
        ],
        training=_training_pictures(report),
        notes=report.notes,
        provenances=[provenance(results) for results in report.results],
    )


def write_report(path: str | Path, report: ReportInput) -> Path:
    """Write the report as one HTML file.

    Args:
        path: Where to; its folder is made.
        report: What to show.

    Returns:
        The path.

    Raises:
        DataError: An example lacks its field or shares no time with a prediction.
        EnvironmentFault: The file cannot be written.
    """
    write_text_atomic(path, render_report(report))
    return Path(path)
