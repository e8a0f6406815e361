"""Cheap values are computed again in the backward pass instead of being kept for it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_WHOLE_BLOCKS: ContextVar[bool] = ContextVar("whole_blocks", default=False)


@contextmanager
def computed_again_whole() -> Iterator[None]:
    """Inside a block that is computed again as a whole, nothing is kept for its parts."""
    token = _WHOLE_BLOCKS.set(True)
    try:
        yield
    finally:
        _WHOLE_BLOCKS.reset(token)


def recomputed(value: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """Operations inside this context do not keep ``value`` for their backward pass.

    They keep ``make`` and call it when they need the value: it must return the same numbers from
    what is alive anyway. A compiled model chooses by itself what it keeps, and is left alone.

    Example::

        activated = F.gelu(x)
        with recomputed(activated, lambda: F.gelu(x)):
            y = linear(activated)
    """
    shapes_only = type(value) is not Tensor or value.device.type == "meta"
    if torch.compiler.is_compiling() or not value.requires_grad or shapes_only:
        return nullcontext()
    if _WHOLE_BLOCKS.get():
        return nullcontext()
    address, elements = value.data_ptr(), value.numel()

    def pack(tensor: Tensor) -> Any:
        if tensor.data_ptr() == address and tensor.numel() == elements and tensor.is_contiguous():
            return tensor.shape
        return tensor

    def unpack(packed: Any) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        with torch.no_grad():
            return make().contiguous().view(packed)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
