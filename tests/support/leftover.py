"""A stand-in for the socket of another library that was left in the server."""

from __future__ import annotations


class Theirs:
    """A socket of gevent-websocket."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.frames: list[tuple[bytes, int]] = []
        self.closed = False

    def send_frame(self, message: bytes, opcode: int) -> None:
        """Send a frame."""
        if self.error is not None:
            raise self.error
        self.frames.append((message, opcode))


Theirs.__module__ = 'geventwebsocket.websocket'
