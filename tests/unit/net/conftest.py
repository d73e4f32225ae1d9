"""The `net` fixture: a loop, and at its end no unexpected report and no descriptor more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .peers import Net, clean_net

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Implementation


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    with clean_net(impl) as made:
        yield made
