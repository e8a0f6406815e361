"""Cheap values are computed again in the backward pass instead of being kept for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def recomputed(value: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """Operations inside this context do not keep ``value`` for their backward pass.

    They keep ``make`` and call it when they need the value: it must return the same numbers from
    what is alive anyway. A compiled model chooses by itself what it keeps, and is left alone.

    Example::

        activated = F.gelu(x)
        with recomputed(activated, lambda: F.gelu(x)):
            y = linear(activated)
    """
    if torch.compiler.is_compiling() or not value.requires_grad or value.device.type == "meta":
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
