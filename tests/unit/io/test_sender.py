"""The sending half of a connection, where greenlets and OS threads wait."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.io import sender
from tests.support.inside import connection_of
from tests.support.local import joined, run_threads


class Lock:
    """A lock that notes whether it is held."""

    is_held = False

    def __enter__(self) -> None:
        self.is_held = True

    def __exit__(self, *exception: object) -> None:
        self.is_held = False


@pytest.mark.proves('C1')
def test_a_waiter_is_removed_while_no_other_thread_adds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, seen = Lock(), []

    class Event:
        """A waiter that is compared, which removing one does."""

        def __init__(self) -> None:
            self.set = self

        def wait(self, timeout: Any) -> bool:
            return False

        def __ne__(self, other: object) -> bool:
            seen.append(lock.is_held)
            return self is not other

        def __eq__(self, other: object) -> bool:
            seen.append(lock.is_held)
            return self is other

        def __hash__(self) -> int:
            return 1

    with joined() as pair:
        pair.open()
        monkeypatch.setattr(sender, '_posted_lock', lock)
        monkeypatch.setattr('gevent.event.Event', Event)
        assert not connection_of(pair.ws)._wait(0.0)
        monkeypatch.undo()
    assert seen == [True]


def test_a_thread_does_not_wait_for_the_hub_of_another() -> None:
    results: list[bool] = []
    with joined() as pair:
        pair.open()
        run_threads(lambda: results.append(connection_of(pair.ws).wait_until_caught_up()))
    assert results == [True]
