"""The graph of a model, for any batch and any grid, without complex numbers."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_map
from torch.utils._sympy.numbers import int_oo

from pdefm.data.trajectory import Boundary
from pdefm.domain import AXIS_NAMES
from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel

TRACED_BATCH = 3
MIN_PATCHES = 2  # an axis of one patch is broadcast, which is another graph


class _Prediction(nn.Module):
    """The model with everything fixed that is not an input of the file."""

    def __init__(self, model: DPOTModel, field_names: list[str], boundary: Boundary | None) -> None:
        super().__init__()
        self.model = model
        self.field_names = field_names
        self.boundary = boundary

    def forward(
        self,
        history: Float[Tensor, "batch history channel *space"],
        mask: Bool[Tensor, "batch *space"] | None = None,
        dt: Float[Tensor, " batch"] | None = None,
        parameters: Mapping[str, Float[Tensor, " batch"]] | None = None,
    ) -> Float[Tensor, "batch horizon channel *space"]:
        """Normalised next frames."""
        return self.model(
            history,
            field_names=self.field_names,
            mask=mask,
            dt=dt,
            boundary=self.boundary,
            parameters=parameters,
        ).prediction


@dataclass(frozen=True)
class ExportRequest:
    """What shall be exported, checked.

    Args:
        config: Of the model.
        field_names: Name of each channel.
        history: Frames of the input.
        resolution: Fixed grid; ``None`` leaves it open.
        with_mask: ``mask`` is an input.
        scalars: Conditions that are inputs.
        boundary: Conditions at both sides of every axis, fixed.
    """

    config: DPOTConfig
    field_names: list[str]
    history: int
    resolution: tuple[int, ...] | None
    with_mask: bool
    scalars: list[str]
    boundary: Boundary | None

    @property
    def input_names(self) -> list[str]:
        """Inputs of an ONNX file, in the order in which a program flattens them."""
        dt = ["dt"] if "dt" in self.scalars else []
        return ["history", *["mask"] * self.with_mask, *dt, *self.parameters]

    @property
    def parameters(self) -> list[str]:
        """Inputs that are parameters of the equation."""
        return [name for name in self.scalars if name != "dt"]

    def example(self) -> tuple[int, ...]:
        """A grid to trace with: no two lengths the same, all frequencies there."""
        modes = max(self.config.num_modes or 0, self.config.last_axis_modes or 0)
        first = max(2 * modes + 1, 7)  # a mixer may ask whether a grid has all of its frequencies
        return tuple(
            self.config.patch_size * (first + 2 * axis) for axis in range(self.config.num_dims)
        )


@contextmanager
def _exportable(model: DPOTModel) -> Iterator[None]:
    """Evaluation mode and products for FFTs; as before afterwards."""
    with ExitStack() as undo:
        for module in model.modules():
            undo.callback(setattr, module, "training", module.training)
            if hasattr(module, "transform"):
                undo.callback(setattr, module, "transform", module.transform)
                cast(Any, module).transform = "products"
        model.eval()
        yield


def _examples(
    request: ExportRequest, device: torch.device
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs to trace with, and which of their axes are open."""
    config, T, C = request.config, request.history, len(request.field_names)
    space = request.resolution or request.example()
    batch = Dim("batch")
    axes: dict[int, Any] = {}
    if request.resolution is None:
        axes = {
            axis: config.patch_size * Dim(f"patches_{AXIS_NAMES[axis]}", min=MIN_PATCHES)
            for axis in range(config.num_dims)
        }
    inputs: dict[str, Any] = {"history": torch.empty(TRACED_BATCH, T, C, *space, device=device)}
    shapes: dict[str, Any] = {"history": {0: batch, **{3 + axis: d for axis, d in axes.items()}}}
    if request.with_mask:
        inputs["mask"] = torch.ones(TRACED_BATCH, *space, dtype=torch.bool, device=device)
        shapes["mask"] = {0: batch, **{1 + axis: d for axis, d in axes.items()}}
    scalar = torch.zeros(TRACED_BATCH, device=device)
    if "dt" in request.scalars:
        inputs["dt"], shapes["dt"] = scalar, {0: batch}
    if names := request.parameters:
        inputs["parameters"] = {name: scalar.clone() for name in names}
        shapes["parameters"] = {name: {0: batch} for name in names}
    return inputs, shapes


def trace(model: DPOTModel, request: ExportRequest) -> ExportedProgram:
    """The model as a graph that any batch and, unless it is fixed, any grid can go through.

    The model is as it was afterwards, whatever happens.

    Args:
        model: In float32.
        request: What is an input, and what is fixed.

    Raises:
        ModelError: Another precision, or a mixer that cannot be traced.
    """
    if other := {p.dtype for p in model.parameters()} - {torch.float32}:
        raise ModelError(
            "models are exported in float32",
            got=str(min(other, key=str)).removeprefix("torch."),
            do="Call model.float() first",
        )
    inputs, shapes = _examples(request, next(model.parameters()).device)
    history = (inputs.pop("history"),)
    module = _Prediction(model, request.field_names, request.boundary)
    with _exportable(model), torch.no_grad():
        try:
            program = quietly(
                torch.export.export, module, history, inputs, dynamic_shapes=shapes, strict=False
            )
        except RuntimeError as error:
            raise ModelError(
                f"a DPOT with the mixer '{request.config.mixer}' cannot be exported like this",
                got=str(error).splitlines()[0],
                do="Fix the grid with resolution=" if request.resolution is None else "",
            ) from error
    # Loading builds the checks of the sizes from an example; this one takes no space in a file.
    program.example_inputs = tree_map(
        lambda value: torch.zeros((), dtype=value.dtype, device=value.device).expand(value.shape),
        (history, inputs),
    )
    for graph in graphs(program):
        for node in graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def graphs(program: ExportedProgram) -> list[torch.fx.Graph]:
    """The graph of a program and those inside of it."""
    modules = program.graph_module.modules()
    return [module.graph for module in modules if isinstance(module, torch.fx.GraphModule)]


def refuse_complex(program: ExportedProgram, mixer: str) -> None:
    """Refuse a graph with complex numbers, which other runtimes do not have.

    Raises:
        ModelError: There is one; ``mixer`` is named.
    """
    for graph in graphs(program):
        for node in graph.nodes:
            value = node.meta.get("val")
            parts = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(part, Tensor) and part.is_complex() for part in parts):
                raise ModelError(
                    f"the mixer '{mixer}' computes with complex numbers, which no exported model"
                    " can have",
                    got=node.name,
                    do="Let it use pdefm.models.spectral, or give it a 'transform' that can be"
                    " 'products'",
                )


def quietly(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Call without the remarks of exporters about their own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*args, **kwargs)
    finally:
        logger.setLevel(level)


def smallest_grid(program: ExportedProgram) -> list[int]:
    """Fewest points per axis that went through the same branches as the traced grid.

    Raises:
        ModelError: Large grids went through others.
    """
    history = next(node for node in program.graph.nodes if node.name == "history")
    space = history.meta["val"].shape[3:]
    open_sizes = [size.node.expr for size in space if isinstance(size, torch.SymInt)]
    reach = {
        symbol: program.range_constraints[symbol]
        for size in open_sizes
        for symbol in size.free_symbols
    }
    if any(values.upper != int_oo for values in reach.values()):
        raise ModelError(
            "the mixer treats large grids in another way",
            do="Fix the grid with resolution=",
        )
    lower = {symbol: values.lower for symbol, values in reach.items()}
    return [
        int(size.node.expr.subs(lower)) if isinstance(size, torch.SymInt) else size
        for size in space
    ]
