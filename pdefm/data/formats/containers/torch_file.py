"""PyTorch's file of a tensor, or of tensors under names, mapped where the file allows it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import ArrayFacts, Container
from pdefm.data.formats.containers.npz import member_names

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of PyTorch before 1.6 begin: a protocol 2 pickle of its magic number."""


class TorchFile(Container):
    """A ``.pt`` file of a tensor or of (nested) dicts and lists of tensors and numbers.

    Only tensors and plain values are unpickled (``weights_only``); anything else is refused.
    """

    kind = "PyTorch file of tensors"
    advice = "Save tensors or a dict of tensors with torch.save, no objects of your own"
    suffixes = (".pt",)

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """A zip archive with a ``data.pkl``, or the start of the format before it."""
        if start.startswith(LEGACY_START):
            return "PyTorch file, the format before 1.6"
        names = member_names(path, start)
        return "PyTorch file" if any(name.endswith("/data.pkl") for name in names) else None

    def open_file(self) -> dict[str, Tensor]:
        """Tensors by key; those of a zip file are mapped."""
        with self.path.open("rb") as file:
            legacy = file.read(len(LEGACY_START)) == LEGACY_START
        content = torch.load(self.path, map_location="cpu", weights_only=True, mmap=not legacy)
        return dict(_tensors("", content))

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes and types of the tensors."""
        return {key: _facts(tensor) for key, tensor in self.file.items()}

    def open_array(self, key: str) -> "_AsNumpy":
        """The tensor, read by index."""
        return _AsNumpy(self.file[key])

    def array_storage(self, key: str) -> StorageLayout:
        """In one piece."""
        facts = self.arrays[key]
        return StorageLayout(facts.shape, facts.dtype)


class _AsNumpy:
    """A tensor whose parts come as arrays."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __getitem__(self, index: tuple[int | slice, ...], /) -> np.ndarray:
        part = self.tensor[index].detach()
        # NumPy has no bfloat16.
        return (part.float() if part.dtype is torch.bfloat16 else part).numpy()


def _facts(tensor: Tensor) -> ArrayFacts:
    kind = "complex" if tensor.is_complex() else "real"
    plain = tensor.layout is torch.strided and not tensor.is_quantized
    dtype = str(tensor.dtype).removeprefix("torch.")
    return ArrayFacts(tuple(tensor.shape), dtype, kind if plain else "other")


def _tensors(key: str, content: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield key, content
    elif isinstance(content, bool | int | float):
        yield key, torch.tensor(content, dtype=torch.float64)
    elif isinstance(content, Mapping | Sequence) and not isinstance(content, str | bytes):
        pairs = content.items() if isinstance(content, Mapping) else enumerate(content)
        for name, inner in pairs:
            yield from _tensors(f"{key}/{name}" if key else str(name), inner)
