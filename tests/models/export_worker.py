"""An exported model beside the eager one: python -m tests.models.export_worker CASE FOLDER."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor

from pdefm.data.trajectory import uniform_boundary
from pdefm.domain import BoundaryCondition
from pdefm.models import export
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.export_graph import graphs
from pdefm.models.mixers import MIXERS
from tests.tiny_dpot import tiny_model, tiny_processor

# Traced with 7 x 9 patches, here and there a table of its own size, long axes for the FFT.
GRIDS_1D = [(3, (28,)), (1, (16,)), (2, (8,)), (2, (272,))]
GRIDS_2D = [(3, (28, 36)), (1, (16, 16)), (2, (24, 40)), (2, (8, 8)), (2, (264, 272))]
GRIDS_3D = [(3, (28, 36, 44)), (1, (16, 16, 16)), (2, (24, 8, 16)), (2, (8, 8, 8))]
EVERYTHING = {
    "mask_channel": True,
    "conditions": ["viscosity", "dt", "alpha"],
    "instance_normalization": True,
    "coordinate_encoding": "fourier",
    "num_modes": 2,
    "position_size": None,
}
PUBLISHED = {
    "num_modes": 3,
    "mode_truncation": "one_sided",
    "spectral_output_bias": True,
    "prediction": "state",
}
THREE_AXES = {"num_dims": 3, "position_size": [2, 2, 2], "num_modes": 2, "last_axis_modes": 3}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "published": PUBLISHED,
    "modulus": {"spectral_nonlinearity": "modulus", "num_modes": 4, "time_aggregation": "mlp"},
    "one axis": {"num_dims": 1, "position_size": [4], "num_modes": 2},
    "three axes": THREE_AXES,
    "fixed": {"num_modes": 3, "conditions": ["boundary"]},
    **{f"mixer {name}": {"mixer": name, "num_modes": 3} for name in sorted(MIXERS)},
}
WALLS = uniform_boundary(BoundaryCondition.WALL, 2)
FIXED = {
    "resolution": (16, 24),
    "history": 2,
    "field_names": ["pressure"],
    "boundary": WALLS,
    "processor": tiny_processor(),
}


def inputs_for(model: DPOTModel, batch: int, space: tuple[int, ...], frames: int, fields: int):
    """History and the keyword inputs of a call."""
    random = torch.Generator().manual_seed(sum(space))
    history = torch.randn(batch, frames, fields, *space, generator=random)
    others: dict[str, Any] = {}
    if model.config.mask_channel:
        others["mask"] = torch.rand(batch, *space, generator=random) > 0.3
    if "dt" in model.config.conditions:
        others["dt"] = torch.randn(batch, generator=random)
        others["parameters"] = {
            name: torch.randn(batch, generator=random) for name in ("viscosity", "alpha")
        }
    return history, others


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def complex_tensors(onnx_path: Path, program: torch.export.ExportedProgram) -> list[str]:
    """Names of what is complex in either file."""
    nodes = [node for graph in graphs(program) for node in graph.nodes]
    values = {node.name: node.meta.get("val") for node in nodes}
    found = [n for n, v in values.items() if isinstance(v, Tensor) and v.is_complex()]
    graph = onnx.load(onnx_path, load_external_data=False).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert len(values) > 50
    assert len(kinds) > 50
    complex_kinds = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)
    return found + [name for name, kind in kinds.items() if kind in complex_kinds]


def state_of(model: DPOTModel) -> list[Any]:
    """All that an export could leave behind in a model."""
    modules = [(type(m), m.training, sorted(vars(m))) for m in model.modules()]
    mixers = [getattr(layer.mixer, "transform", None) for layer in model.layers]
    parameters = [(p.requires_grad, p.data_ptr()) for p in model.parameters()]
    return [modules, mixers, parameters]


def trace_only_once() -> None:
    """Both formats are written from one graph, and tracing takes seconds."""
    trace, traced = export.trace, []

    def get(*args):
        traced.extend([] if traced else [trace(*args)])
        return traced[0]

    export.trace = get


def compare(case: str, folder: Path) -> dict[str, Any]:
    """Export in both formats and run both on every grid."""
    model = tiny_model(num_hidden_layers=1, **CASES[case])
    fixed = case == "fixed"
    options: dict[str, Any] = FIXED if fixed else {"with_mask": model.config.mask_channel}
    if fixed:
        export.MAX_BYTES_INSIDE = 0  # the weights go into a file of their own
    trace_only_once()
    model.train()
    before = state_of(model)
    program_path = model.export(folder / "model.pt2", "torch", **options)
    onnx_path = model.export(folder / "model.onnx", **options)
    unchanged = state_of(model) == before
    model.eval()

    facts = {"pdefm.json": ""}
    program = torch.export.load(program_path, extra_files=facts)
    session = onnxruntime.InferenceSession(onnx_path)
    metadata = session.get_modelmeta().custom_metadata_map["pdefm"]
    assert facts["pdefm.json"] == metadata
    content = json.loads(metadata)
    grids = {1: GRIDS_1D, 2: GRIDS_2D, 3: GRIDS_3D}[model.config.num_dims]
    differences = {}
    for batch, space in [(n, FIXED["resolution"]) for n in (3, 1)] if fixed else grids:
        if any(size < least for size, least in zip(space, content["min_resolution"], strict=True)):
            continue
        num_fields = len(content["field_names"])
        history, others = inputs_for(model, batch, space, content["history"], num_fields)
        known = {"field_names": content["field_names"], "boundary": options.get("boundary")}
        with torch.no_grad():
            expected = model(history, **others, **known).prediction
            by_program = program.module()(history, **others)
        flat = {"history": history, **others, **others.pop("parameters", {})}
        flat.pop("parameters", None)
        by_onnx = session.run(["prediction"], {name: v.numpy() for name, v in flat.items()})[0]
        name = f"{batch} of {' x '.join(map(str, space))}"
        differences[f"torch, {name}"] = difference(by_program, expected)
        differences[f"onnx, {name}"] = difference(torch.from_numpy(by_onnx), expected)
    return {
        "differences": differences,
        "complex": complex_tensors(onnx_path, program),
        "unchanged": unchanged,
        "facts": content,
        "axes": [axis.name for axis in session.get_inputs()],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write("\n" + json.dumps(compare(sys.argv[1], Path(sys.argv[2]))))
