"""A model as one file that runs without pdefm: ONNX, or a program of ``torch.export``.

::

    model, processor = load_model("runs/model")
    export_model(model, "model.onnx", processor=processor)

The file holds the network: ``history`` in (normalised, ``[batch, frames, channel, *space]``),
``prediction`` out (normalised too), further inputs ``mask``, ``dt`` and the parameters of the
equation by name, as asked for. Batch size and grid are free: any batch, any multiple of the patch
size with at least two patches an axis. Every frequency is computed by real matrix products, so no
complex number occurs.

What a caller needs to normalise is in the file as JSON, in ONNX as the metadata entry ``pdefm``, in
a program as the extra file ``pdefm.json``:

- ``inputs``, ``field_names`` (channels, in order), ``history``, ``horizon``, ``patch_size``,
  ``resolution`` (null: free), ``min_resolution`` (points per axis that the grid must have at
  least; a program refuses less, ONNX runtimes do not), ``boundary`` (null: not given);
- with a processor ``normalization``: ``field`` is ``(value - mean) / std`` with the numbers of
  ``fields``, ``instance`` is the same with mean and deviation of each sample's own history;
- with a processor ``conditions``: a scalar input is ``(value - mean) / std``, or with ``log``
  ``(log(value) - mean) / std``.

The formats:

- ONNX runs in any runtime of that format, ``onnxruntime.InferenceSession("model.onnx")``. The
  inputs are a dictionary by name. Weights beyond 1.5 GB do not fit into one file of that format:
  they go to ``model.onnx.data``, which must stay beside ``model.onnx`` under that name.
- A program is loaded by ``torch.export.load("model.pt2").module()``, on the kind of device that the
  model was on when it was exported, and called as the model is:
  ``program(history, mask=mask, dt=dt, parameters={"viscosity": viscosity})``.
"""

import importlib.util
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.export import ExportedProgram

from pdefm.data.trajectory import Boundary
from pdefm.domain import AXIS_NAMES
from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import atomic_files
from pdefm.models.dpot.conditioning import BOUNDARY
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.export_graph import ExportRequest, quietly, refuse_complex, smallest_grid, trace
from pdefm.models.processing_pde import PDEProcessor
from pdefm.registry import nearest_name_hint

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
FACTS = "pdefm"
ONNX_PACKAGES = ("onnx", "onnxscript")
MAX_BYTES_INSIDE = 1_500_000_000  # a protobuf message ends at 2 GiB, and the graph is in it too


def export_model(
    model: nn.Module,
    path: str | Path,
    *,
    format: str = "onnx",
    processor: PDEProcessor | None = None,
    field_names: Sequence[str] | None = None,
    history: int | None = None,
    resolution: Sequence[int] | None = None,
    with_mask: bool = False,
    conditions: Sequence[str] | None = None,
    boundary: Boundary | None = None,
) -> Path:
    """Write a model as ONNX or as a program of ``torch.export``; the model itself stays as it is.

    Args:
        model: In float32, with its adapters merged.
        path: File to write, ``.onnx`` or ``.pt2``; it appears whole.
        format: ``onnx`` or ``torch``.
        processor: Its statistics go into the file, so that a caller can normalise.
        field_names: Name of each channel; ``None`` is the whole vocabulary, in order.
        history: Frames of the input; ``None`` is ``config.history``.
        resolution: Fix the grid, so that a runtime can compute more in advance; ``None`` leaves
            every multiple of the patch size open, from two patches an axis.
        with_mask: The file takes a ``mask``, true inside the domain, which then must be given.
        conditions: Scalars of ``config.conditions`` that become inputs, normalised; ``None`` is
            all. The others count as not given.
        boundary: Conditions at both sides of every axis, fixed in the file, for models that name
            ``boundary`` in their conditions; ``None`` counts as not given.

    Returns:
        ``path``.

    Raises:
        ModelError: Another format, a wrong suffix, fields, frames, grid or conditions that the
            model does not know, or a mixer that cannot be exported.
        EnvironmentFault: The packages of ONNX are not installed, or the file cannot be written.
    """
    path = Path(path)
    _check_file(path, format)
    if not isinstance(model, DPOTModel):
        raise ModelError(
            "only a whole DPOT can be exported",
            got=type(model).__name__,
            do="Merge an adapter into its model first, with merge_and_unload()",
        )
    config = cast(DPOTConfig, model.config)
    known = cast(list[str], config.field_names)
    request = ExportRequest(
        config,
        [known[i] for i in model.field_ids(None if field_names is None else list(field_names))],
        _checked_history(config, history),
        _checked_resolution(config, resolution),
        with_mask,
        _checked_scalars(config, conditions),
        _checked_boundary(config, boundary),
    )
    content = _facts(request, processor)  # before the long work: it may refuse
    program = trace(model, request)
    refuse_complex(program, config.mixer)
    content["min_resolution"] = smallest_grid(program)
    facts = json.dumps(content, ensure_ascii=False)
    with atomic_files(path.parent, last=path.name) as folder:
        if format == "torch":
            extra = {f"{FACTS}.json": facts}
            quietly(torch.export.save, program, folder / path.name, extra_files=extra)
        else:
            _save_onnx(program, request, facts, folder / path.name)
    return path


def _facts(request: ExportRequest, processor: PDEProcessor | None) -> dict[str, Any]:
    """What a caller of the file needs to know; the module says what each entry means."""
    config = request.config
    facts: dict[str, Any] = {
        "model_type": config.model_type,
        "inputs": request.input_names,
        "field_names": request.field_names,
        "history": request.history,
        "horizon": config.horizon,
        "patch_size": config.patch_size,
        "resolution": request.resolution,
        "boundary": request.boundary,
    }
    if processor is None:
        return facts
    if unknown := [name for name in request.scalars if name not in processor.conditions]:
        raise ModelError("the processor has no statistics of a condition", got=f"'{unknown[0]}'")
    example = torch.zeros(1, 1, len(request.field_names), 1, dtype=torch.float64)
    fields = {name: dict(processor.fields.get(name, {})) for name in request.field_names}
    scale = processor.scale(example, request.field_names)
    if processor.normalization == "field":
        for channel, entry in enumerate(fields.values()):
            # A constant field is only shifted; here that is written out.
            entry["std"] = float(scale.std.flatten()[channel])
    return facts | {
        "normalization": processor.normalization,
        "fields": fields,
        "conditions": {name: processor.conditions[name] for name in request.scalars},
    }


def _check_file(path: Path, format: str) -> None:
    if format not in SUFFIXES:
        do = nearest_name_hint(format, list(SUFFIXES))
        raise ModelError("unknown export format", got=f"'{format}'", do=do)
    if path.suffix != SUFFIXES[format]:
        raise ModelError(
            f"the format '{format}' is written to files that end in {SUFFIXES[format]}",
            got=path.name,
            do=f"Rename it, or choose another format of {', '.join(SUFFIXES)}",
        )
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if format == "onnx" and missing:
        raise EnvironmentFault(
            f"ONNX files need the package {missing[0]}", do="Run: pip install 'pdefm[export]'"
        )


def _checked_history(config: DPOTConfig, history: int | None) -> int:
    history = config.history if history is None else history
    if not 1 <= history <= config.history:
        raise ModelError(f"the model takes 1 to {config.history} frames of history", got=history)
    return history


def _checked_resolution(
    config: DPOTConfig, resolution: Sequence[int] | None
) -> tuple[int, ...] | None:
    if resolution is None:
        return None
    n, p = config.num_dims, config.patch_size
    if len(resolution) != n or any(size < p or size % p for size in resolution):
        raise ModelError(
            f"resolution must be {n} multiples of the patch size {p}", got=list(resolution)
        )
    return tuple(resolution)


def _checked_scalars(config: DPOTConfig, conditions: Sequence[str] | None) -> list[str]:
    """Scalar inputs in the order of the configuration."""
    known = [name for name in config.conditions or [] if name != BOUNDARY]
    chosen = known if conditions is None else conditions
    for name in chosen:
        if name not in known:
            raise ModelError(
                "the model has no such condition as an input",
                got=f"'{name}'",
                do="Give the boundary with boundary="
                if name == BOUNDARY
                else nearest_name_hint(name, known),
            )
    if reserved := {"history", "mask", "prediction"} & set(chosen):
        raise ModelError("a condition has the name of another input", got=min(reserved))
    return [name for name in known if name in chosen]


def _checked_boundary(config: DPOTConfig, boundary: Boundary | None) -> Boundary | None:
    if boundary is None:
        return None
    if BOUNDARY not in (config.conditions or []):
        raise ModelError("the model does not look at boundaries", do="Leave boundary= out")
    if len(boundary) != config.num_dims or any(len(pair) != 2 for pair in boundary):
        raise ModelError(
            f"boundary needs two sides for each of {config.num_dims} axes", got=boundary
        )
    return boundary


def _axis_names(request: ExportRequest) -> tuple[dict[int, str], ...]:
    """What the open axes of every input are called in an ONNX file."""
    num_dims = 0 if request.resolution else request.config.num_dims
    first = {"history": 3, "mask": 1}
    return tuple(
        {0: "batch"}
        | {first[name] + axis: f"points_{AXIS_NAMES[axis]}" for axis in range(num_dims)}
        if name in first
        else {0: "batch"}
        for name in request.input_names
    )


def _save_onnx(program: ExportedProgram, request: ExportRequest, facts: str, path: Path) -> None:
    """Write one file, and the weights beside it where they do not fit in."""
    from onnxscript import opset18 as op

    def remainder(value: Any, divisor: Any) -> Any:
        return op.Mod(value, divisor)  # the exporter's own takes no size that is open

    try:
        converted = quietly(
            torch.onnx.export,
            program,
            input_names=request.input_names,
            output_names=["prediction"],
            dynamic_shapes=_axis_names(request),
            custom_translation_table={torch.ops.aten.remainder.Scalar: remainder},
            dynamo=True,
            verbose=False,
        )
    except RuntimeError as error:
        raise ModelError(
            f"a DPOT with the mixer '{request.config.mixer}' cannot be written as ONNX",
            got=str(error).splitlines()[0],
            do="Use the format 'torch'",
        ) from error
    for node in converted.model.graph.all_nodes():
        node.metadata_props.clear()  # paths of this machine
    converted.model.metadata_props[FACTS] = facts
    size = sum(math.prod(p.shape) * p.element_size() for p in program.state_dict.values())
    converted.save(path, external_data=size > MAX_BYTES_INSIDE)
