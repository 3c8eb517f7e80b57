"""One thread: the tests are many small networks. The same random numbers in every run."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """A test's random input must not depend on which tests ran before it in the same worker."""
    torch.manual_seed(0)
