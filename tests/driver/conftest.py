"""Every test of the protocol runs with each codec."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from faye_websocket.driver import accel, hybi


@pytest.fixture(scope='module', autouse=True)
def drivers_use(codec: ModuleType) -> Iterator[None]:
    """Has the drivers use this codec, in the place of the one that ``accel`` chose."""
    names = [name for name in codec.__all__ if hasattr(hybi, name)]
    assert {'FrameParser', 'serialize_frame'} <= set(names)
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            assert getattr(hybi, name) is getattr(accel, name)
            patch.setattr(hybi, name, getattr(codec, name))
        yield
