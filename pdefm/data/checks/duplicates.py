"""The same trajectory twice, in one set or across training and test data."""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from pdefm.data.checks.base import BROKEN, Check, Code, Piece, Place


class _Fingerprint(NamedTuple):
    """Hashes of all frames, of the first one, and of the coefficients of the equation."""

    whole: bytes
    start: bytes
    coefficients: bytes
    place: Place


class DuplicatesCheck(Check):
    """Equal trajectories and equal initial states, by the hash of their numbers as float32.

    An initial state that is the same everywhere says nothing, so it is not compared.
    """

    codes: ClassVar[Mapping[str, Code]] = {
        "duplicate_trajectory": Code(
            "warning",
            "a trajectory is there twice",
            "Remove the copy: it counts double and may end up in training and validation",
            hidden_by=BROKEN,
        ),
        "same_start": Code(
            "warning",
            "two trajectories start alike, with the same parameters, and part later",
            "Check which of them is right; an equation has one solution",
            hidden_by=BROKEN,
        ),
        "leaked_trajectory": Code(
            "error",
            "a trajectory of one split is in another",
            "Remove it from the training data, or every error on held-out data is too good",
            hidden_by=BROKEN,
        ),
        "leaked_start": Code(
            "warning",
            "a trajectory of one split starts like one of another",
            "Split by initial state if the test is meant to show new ones",
            hidden_by=BROKEN,
        ),
    }

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._known: dict[tuple[str, bytes], _Fingerprint] = {}

    def see(self, piece: Piece) -> None:
        """Hash as the frames pass by."""
        if found := self._fingerprint(piece):
            self._match(found, known=self._known.setdefault)

    def compare(self, piece: Piece) -> None:
        """As ``see``, without a word about copies within the other data."""
        if found := self._fingerprint(piece):
            self._match(found, known=self._known.get)

    def _fingerprint(self, piece: Piece) -> _Fingerprint | None:
        """Of the whole trajectory, once it has passed."""
        if piece.start == 0:
            self._hash = blake2b(digest_size=16)
        self._hash.update(_bytes_of(piece.filled))
        if not piece.last:
            return None
        whole, coefficients = self._hash.digest(), _coefficients(piece)
        if piece.start + piece.frames.num_frames > 1:
            return _Fingerprint(whole, _start(piece), coefficients, piece.place())
        # One steady field may belong to several coefficients; those are no copies.
        return _Fingerprint(whole + coefficients, b"", coefficients, piece.place())

    def _match(
        self,
        new: _Fingerprint,
        known: Callable[[tuple[str, bytes], _Fingerprint], _Fingerprint],
    ) -> None:
        """Report the first equal one, by its frames or else by its start."""
        old = known(("whole", new.whole), new)
        across = old.place.split != new.place.split
        if old is not new:
            code = "leaked_trajectory" if across else "duplicate_trajectory"
            self.found(code, new.place, f"the frames of {_name(old.place, across)}")
            return
        if not new.start:
            return
        old = known(("start", new.start), new)
        across = old.place.split != new.place.split
        same_equation = old.coefficients == new.coefficients
        got = f"the first frame of {_name(old.place, across)}"
        if old is not new and across:
            self.found("leaked_start", new.place, got, instead=None if same_equation else "note")
        elif old is not new and same_equation:
            self.found("same_start", new.place, got)


def _name(place: Place, across: bool) -> str:
    return f"{place} of {place.split or 'the data'}" if across else str(place)


def _bytes_of(values: Tensor) -> bytes:
    return (values.to(torch.float32) + 0.0).contiguous().numpy().tobytes()  # -0.0 becomes 0.0


def _start(piece: Piece) -> bytes:
    """Hash of the first frame; empty if all its fields are the same everywhere."""
    head = piece.head.fields[0].flatten(1)
    if head.shape[1] and bool((head == head[:, :1]).all()):
        return b""
    mask = piece.head.mask
    filled = piece.head.fields if mask is None else torch.where(mask, piece.head.fields, 0.0)
    return blake2b(_bytes_of(filled), digest_size=16).digest()


def _coefficients(piece: Piece) -> bytes:
    """Hash of what decides the course: parameters, coefficient fields and the mask."""
    head = piece.head
    found = blake2b(repr(sorted(head.parameters.items())).encode(), digest_size=16)
    for part in (head.constants, head.mask):
        found.update(b"" if part is None else _bytes_of(part))
    return found.digest()
