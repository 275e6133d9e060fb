"""Every adapter test runs on both families' real transformers."""

from __future__ import annotations

import pytest
from tests.adapter.twins import KLEIN, ZIMAGE, Twin


@pytest.fixture(params=[KLEIN, ZIMAGE], ids=lambda twin: twin.name)
def twin(request: pytest.FixtureRequest) -> Twin:
    """A family whose transformer is built anew, with the same weights, at every `twin.base()`."""
    return request.param
