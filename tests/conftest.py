"""What all tests share."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

from tests.tiny import tiny_recipe, write_sources


@pytest.fixture
def users_shapes() -> Iterator[None]:
    """Run as a user does: without the shape checks of the test run.

    For tests of an error message about a wrong shape, which the checks would catch first.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@dataclass(frozen=True)
class TinyRun:
    """A finished pretraining: two sources, twelve steps, a checkpoint every fourth."""

    folder: Path
    sources: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def model(self) -> Path:
        """The last checkpoint's model folder."""
        return self.folder / "checkpoints" / "step-000012" / "model"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """The one trained model of the test run; read it, do not write into it."""
    from pdefm.train.pretrain import pretrain

    root = tmp_path_factory.mktemp("tiny")
    sources = write_sources(root)
    summary = pretrain(tiny_recipe(sources), root / "run")
    return TinyRun(root / "run", sources, summary)
