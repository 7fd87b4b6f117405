"""Base classes: a missing method raises an error, and optional ones have defaults."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faye_websocket.driver import Writer
from faye_websocket.driver.emitter import Observer
from faye_websocket.events import Event
from faye_websocket.io.outflow import Outflow
from faye_websocket.io.owner import Owner
from faye_websocket.io.scheduler import Job, Scheduler


class Written(Writer):
    """A writer with only the required methods."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.data.append(data)


@pytest.mark.parametrize('call', [
    lambda: Observer().notify('open'),
    lambda: Observer().message('hello'),
    lambda: Owner().received(b'x'),
    lambda: Owner().ended(''),
    lambda: Owner().interrupted(),
    lambda: Owner().drained(),
    lambda: Owner().stopped(),
    lambda: Owner().relieved(),
    lambda: Owner().delivered(Event('open')),
    lambda: Owner().failed(),
    lambda: Job().drain(),
    lambda: Job().rest(),
    lambda: Job().recover(),
    lambda: Scheduler().run_callback(print),
    lambda: Scheduler().run(Job(), 0),
    lambda: Scheduler().run_jobs(),
    lambda: Scheduler().cancel(Job()),
    lambda: Writer().write(b'x'),
    lambda: Outflow.__new__(Outflow)._end(''),
    lambda: Outflow.__new__(Outflow)._half_close(),
    lambda: Outflow.__new__(Outflow)._sending_failed(''),
])
def test_a_missing_method_raises(call: Callable[[], object]) -> None:
    with pytest.raises(NotImplementedError):
        call()


def test_the_optional_methods_of_a_writer_write() -> None:
    writer = Written()
    writer.write_parts(b'head', b'payload')
    writer.write_urgent(b'pong', 'pong')
    writer.write_last(b'close')
    assert writer.data == [b'headpayload', b'pong', b'close']
