"""Fixtures of the tests of training."""

from collections.abc import Iterator

import pytest

from tests.helpers.cheap_runs import without_curves


@pytest.fixture(scope="module")
def no_curves() -> Iterator[None]:
    """Drawing is slow and decides nothing where this is used."""
    with pytest.MonkeyPatch.context() as patch:
        without_curves(patch)
        yield
