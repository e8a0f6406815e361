"""The page itself: gradio around :mod:`pdefm.demo.simulate`."""

import os
import tempfile
from html import escape
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from typing import Any

from PIL import Image

from pdefm.data.formats.netcdf_writer import write_netcdf
from pdefm.data.formats.well_writer import write_well
from pdefm.demo.choices import Choice, free_parameters, ordered_families
from pdefm.demo.library import gr
from pdefm.demo.pictures import error_curve, side_by_side, spectrum
from pdefm.demo.simulate import MAX_STEPS, Run, run_equation, run_file
from pdefm.errors import PdefmError
from pdefm.evaluation.plots import png_bytes

MAX_PARAMETERS = 6
"""Boxes on the page; no equation leaves more open."""
KEEP_SECONDS = 3600
EQUATION, FILE = "equation", "file"


def _status(text: str, kind: str) -> str:
    return f'<div class="{kind}" role="status">{escape(text)}</div>'


def _image(figure: Any) -> Image.Image:
    return Image.open(BytesIO(png_bytes(figure)))


class Page:
    """Blocks and what their events do.

    Args:
        choices: What can be chosen, by label.
        folder: For downloads; it is removed when the server ends.
    """

    def __init__(self, choices: dict[str, Choice], folder: Path) -> None:
        self.choices, self.folder = choices, folder
        self._loaded: dict[str, Any] = {}

    def _load(self, label: str) -> Any:
        """Model and processor; the last one stays in memory."""
        if label not in self._loaded:
            self._loaded = {label: self.choices[label].load()}
        return self._loaded[label]

    def run(
        self,
        label: str,
        source: str,
        family: str,
        seed: int | None,
        num_steps: int | None,
        file: str | None,
        axes: str,
        names: str,
        *values: float | None,
        progress: Any = gr.Progress(),  # noqa: B008  # how gradio injects it
    ) -> list[Any]:
        """Everything that Run changes on the page; an error changes the status only."""
        choice, done = self.choices[label], 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress((done, num_steps), desc="model", unit="steps")

        try:
            progress(0.0, desc="loading the model")
            loaded = self._load(label)
            if source == FILE:
                if file is None:
                    return self._refused("no file yet. Drop one into the box first")
                progress(0.0, desc="looking into the file")
                run = run_file(
                    *(choice, loaded, file, num_steps), axes=axes, names=names, advance=advance
                )
            else:
                progress(0.0, desc="solving the equation")
                parameters = dict(zip(free_parameters(family), values, strict=False))
                run = run_equation(choice, loaded, family, parameters, seed, num_steps, advance)
            return self._shown(run)
        except PdefmError as error:
            text = str(error)
            if file is not None:  # the temporary folder means nothing to anyone
                text = text.replace(f"{Path(file).parent}{os.sep}", "")
            return self._refused(text)

    def _refused(self, text: str) -> list[Any]:
        return [_status(text, "error"), *[gr.skip()] * 8]

    def _shown(self, run: Run) -> list[Any]:
        field, step = run.truth.names[0], run.num_steps
        last = ", ".join(
            f"{name.replace('_', ' ')} {errors[-1]:.3g}" for name, errors in run.errors.items()
        )
        notes = f" Beyond the training: {'; '.join(run.notes)}." if run.notes else ""
        words = f"Relative L2 after {step} steps: {last}. {run.speed()}{notes}"
        place = Path(tempfile.mkdtemp(dir=self.folder))
        write_well(place / "rollout.hdf5", [run.prediction], dataset_name="rollout")
        write_netcdf(place / "rollout.nc", [run.prediction])
        return [
            _status(words, "fine"),
            (run, place),
            gr.Dropdown(choices=list(run.truth.names), value=field, interactive=True),
            gr.Slider(minimum=1, maximum=max(step, 2), value=step, interactive=step > 1),
            *self.draw((run, place), field, step),
            gr.DownloadButton(value=str(place / "rollout.hdf5"), interactive=True),
            gr.DownloadButton(value=str(place / "rollout.nc"), interactive=True),
        ]

    def draw(self, shown: tuple[Run, Path] | None, field: str, step: float) -> list[Any]:
        """The three pictures of a field at a step."""
        if shown is None or field not in shown[0].truth.names:
            return [gr.skip()] * 3
        run, step = shown[0], min(int(step), shown[0].num_steps)
        return [
            _image(side_by_side(run, field, step)),
            _image(error_curve(run, step)),
            _image(spectrum(run, field, step)),
        ]

    def families(self, label: str) -> Any:
        """The list of equations for a model."""
        offered = ordered_families(self.choices[label])
        return gr.Dropdown(choices=offered, value=offered[0][1])

    def parameters(self, family: str) -> list[Any]:
        """A box for each parameter that an equation leaves open."""
        boxes = [
            gr.Number(
                value=middle,
                minimum=low,
                maximum=high,
                label=f"{name.replace('_', ' ')}, {low:g} to {high:g}",
                visible=True,
            )
            for name, (low, high, middle) in free_parameters(family).items()
        ]
        return boxes + [gr.Number(visible=False)] * (MAX_PARAMETERS - len(boxes))

    def blocks(self) -> Any:
        """The page."""
        with gr.Blocks(
            title="pdefm demo", analytics_enabled=False, delete_cache=(600, KEEP_SECONDS)
        ) as blocks:
            shown = gr.State(None, time_to_live=KEEP_SECONDS, delete_callback=_forget)
            gr.Markdown("### Solver and model side by side", elem_id="title")
            with gr.Row():
                with gr.Column(scale=1, min_width=270):
                    inputs, run = self._left()
                with gr.Column(scale=3, min_width=640):
                    outputs = self._right()
            status, field, step, *pictures, well, netcdf = outputs
            run.click(
                self.run,
                inputs,
                [status, shown, field, step, *pictures, well, netcdf],
                show_progress_on=[status],
                concurrency_limit=1,
            )
            for moved in (field.input, step.input):
                moved(
                    *(self.draw, [shown, field, step], pictures),
                    show_progress="hidden",
                    trigger_mode="always_last",
                )
        return blocks

    def _left(self) -> tuple[list[Any], Any]:
        """What is asked, in the order of the arguments of :meth:`run`, and the button."""
        first = next(iter(self.choices))
        offered = ordered_families(self.choices[first])
        model = gr.Dropdown(choices=list(self.choices), value=first, label="Model or adapter")
        source = gr.Radio(
            [("Solve an equation", EQUATION), ("Upload a file", FILE)],
            value=EQUATION,
            label="Start from",
        )
        with gr.Column(visible=True) as equation:
            family = gr.Dropdown(choices=offered, value=offered[0][1], label="Equation")
            boxes = self._boxes(offered[0][1])
            seed = gr.Number(value=0, precision=0, minimum=0, label="Seed of the initial state")
        with gr.Column(visible=False) as upload:
            file = gr.File(label="HDF5, NetCDF, Zarr, NumPy or MATLAB", height=110)
            axes = gr.Textbox(label="Axes, of an array", placeholder="N T C X Y")
            names = gr.Textbox(label="Field names", placeholder="velocity_x,velocity_y")
        steps = gr.Slider(1, MAX_STEPS, value=16, step=1, label="Steps to predict")
        run = gr.Button("Run", variant="primary", elem_id="run")
        model.change(self.families, model, family, show_progress="hidden")
        family.change(self.parameters, family, boxes, show_progress="hidden")
        source.change(
            lambda word: [gr.Column(visible=word == EQUATION), gr.Column(visible=word == FILE)],
            *(source, [equation, upload]),
            show_progress="hidden",
        )
        return [model, source, family, seed, steps, file, axes, names, *boxes], run

    def _boxes(self, family: str) -> list[Any]:
        given = list(free_parameters(family).items())
        boxes = []
        for i in range(MAX_PARAMETERS):
            name, (low, high, middle) = given[i] if i < len(given) else ("", (None, None, None))
            label = f"{name.replace('_', ' ')}, {low:g} to {high:g}" if name else ""
            boxes.append(
                gr.Number(value=middle, minimum=low, maximum=high, label=label, visible=bool(name))
            )
        return boxes

    def _right(self) -> list[Any]:
        """Status, field, step, three pictures, two downloads."""
        status = gr.HTML(
            _status("Press Run: the solver makes the truth, the model continues it.", "fine"),
            elem_id="status",
        )
        with gr.Row():
            field = gr.Dropdown(choices=[], label="Field", interactive=False, min_width=160)
            step = gr.Slider(
                1, 2, value=1, step=1, label="Step", interactive=False, scale=3, elem_id="step"
            )
        plain: dict[str, Any] = {"format": "png", "show_label": False, "interactive": False}
        plain["buttons"] = ["fullscreen"]
        fields = gr.Image(label="Fields", elem_id="fields", **plain)
        with gr.Row():
            errors = gr.Image(label="Error over time", elem_id="errors", **plain)
            energy = gr.Image(label="Energy spectrum", elem_id="spectrum", **plain)
        with gr.Row():
            well = gr.DownloadButton("Rollout as .hdf5", interactive=False, size="sm")
            netcdf = gr.DownloadButton("Rollout as .nc", interactive=False, size="sm")
        return [status, field, step, fields, errors, energy, well, netcdf]


def _forget(shown: tuple[Run, Path] | None) -> None:
    if shown is not None:
        rmtree(shown[1], ignore_errors=True)
