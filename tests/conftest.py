"""What all tests share."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def users_shapes() -> Iterator[None]:
    """Run as a user does: without the shape checks of the test run.

    For tests of an error message about a wrong shape, which the checks would catch first.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
