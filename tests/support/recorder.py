"""An ``io`` in memory that records the writes and events of a driver in one log of
tuples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from faye_websocket.driver import Driver, wsgi
from faye_websocket.driver.writer import Writer
from tests.support.requests import HIXIE_76, HIXIE_76_BODY, HYBI
from tests.support.vectors import CLOSE, frame

EVENTS = ('connect', 'open', 'message', 'ping', 'pong', 'error', 'close')
MASKING_KEY = b'\x37\xfa\x21\x3d'


class Recorder:
    """A recorder whose ``log`` holds ``('write', data)`` and events such as
    ``('message', 'hi')``.

    An error is recorded as its type and text.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.environ = environ
        self.log: list[tuple[Any, ...]] = []

    def write(self, data: bytes) -> None:
        self.log.append(('write', data))

    def watch(self, driver: Any) -> None:
        """Record every event of this driver."""
        for type in EVENTS:
            driver.on(type, partial(self._emitted, type))

    def _emitted(self, type: str, *arguments: Any) -> None:
        plain = (part for each in arguments for part in _plain(each))
        self.log.append((type, *plain))

    @property
    def events(self) -> list[tuple[Any, ...]]:
        """The events that were emitted."""
        return [entry for entry in self.log if entry[0] in EVENTS]

    @property
    def written(self) -> bytes:
        """The bytes that were written."""
        return b''.join(entry[1] for entry in self.log if entry[0] not in EVENTS)


class BufferedRecorder(Recorder, Writer):
    """A recorder with a buffer. Its further methods are in the log by their names."""

    def write_urgent(self, data: bytes, tag: str) -> None:
        self.log.append(('write_urgent', data, tag))

    def write_last(self, data: bytes) -> None:
        self.log.append(('write_last', data))


def _plain(argument: Any) -> tuple[Any, ...]:
    return (type(argument).__name__, str(argument)) if isinstance(argument, Exception) else (argument,)


def connecting(environ: Mapping[str, Any] = HYBI, io: type[Recorder] = Recorder, **options: Any) -> tuple[Driver, Recorder]:
    """Return a driver that was not started, and its recorder."""
    recorder = io(environ)
    driver = wsgi(recorder, **options)
    recorder.watch(driver)
    return driver, recorder


def opened(environ: Mapping[str, Any] = HYBI, io: type[Recorder] = Recorder, **options: Any) -> tuple[Driver, Recorder]:
    """Return an open driver, and its recorder with an empty log."""
    driver, recorder = connecting(environ, io, **options)
    driver.start()
    if environ is HIXIE_76:
        driver.parse(HIXIE_76_BODY)
    recorder.log.clear()
    return driver, recorder


def closing(environ: Mapping[str, Any] = HYBI, io: type[Recorder] = Recorder, **options: Any) -> tuple[Driver, Recorder]:
    """Return a driver that waits for the response to its close, and its recorder.

    The recorder's log is empty.
    """
    driver, recorder = opened(environ, io, **options)
    driver.close(1000, 'done')
    recorder.log.clear()
    return driver, recorder


def closed(environ: Mapping[str, Any] = HYBI, io: type[Recorder] = Recorder, **options: Any) -> tuple[Driver, Recorder]:
    """Return a driver whose connection is gone, and its recorder with an empty log."""
    driver, recorder = opened(environ, io, **options)
    driver.end()
    recorder.log.clear()
    return driver, recorder


def sent(opcode: int, payload: bytes = b'', *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a frame of a client."""
    return frame(opcode, payload, fin=fin, rsv=rsv, masking_key=MASKING_KEY)


def close_frame(code: int, reason: str = '') -> bytes:
    """Return a close frame of a server."""
    return frame(CLOSE, code.to_bytes(2, 'big') + reason.encode())


def sent_close(code: int, reason: bytes = b'') -> bytes:
    """Return a close frame of a client."""
    return sent(CLOSE, code.to_bytes(2, 'big') + reason)


def failure(code: int, text: str) -> list[tuple[Any, ...]]:
    """Return the log of a connection that fails because of the peer's bytes."""
    name = {1002: 'ProtocolError', 1007: 'InvalidData', 1009: 'MessageTooBig'}[code]
    return [('error', name, text), ('write', close_frame(code, text)), ('close', code, text)]
