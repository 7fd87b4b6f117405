"""Backlog: the bytes of a connection that wait while the kernel refuses them."""

from __future__ import annotations

from collections import deque

__all__ = ['BURST', 'Backlog']

# What is sent at once leaves when it has this many bytes, even if more is to come:
# about what one segment of loopback carries.
BURST = 65536


class Backlog:
    """The bytes that wait for one connection.

    The rest of what the kernel was given last goes first, then what is urgent, and then
    the frames in their order.
    """

    __slots__ = ('_frames', '_rest', '_urgent')

    def __init__(self, rest: memoryview) -> None:
        self._rest: memoryview | None = rest
        self._urgent: dict[str, bytes] = {}
        self._frames: deque[bytes] = deque()

    def append(self, frame: bytes) -> None:
        """Add a frame behind all that waits."""
        self._frames.append(frame)

    def put_urgent(self, frame: bytes, tag: str) -> int:
        """Add a frame before the others, in place of a waiting one with this ``tag``.

        Returns how many bytes more that makes.
        """
        growth = len(frame) - len(self._urgent.get(tag, b''))
        self._urgent[tag] = frame
        return growth

    def drop(self) -> int:
        """Drop what has not begun to go out, and return how many bytes are left."""
        self._frames.clear()
        self._urgent.clear()
        return len(self._rest) if self._rest is not None else 0

    def take(self) -> bytes | memoryview | None:
        """Return what goes next, up to a burst of frames, or None."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            return rest
        if self._urgent:
            chunk = b''.join(self._urgent.values())
            self._urgent.clear()
            return chunk
        frames, size = [], 0
        while self._frames and size < BURST:
            frames.append(self._frames.popleft())
            size += len(frames[-1])
        return b''.join(frames) if frames else None

    def give_back(self, rest: memoryview) -> None:
        """Keep what the kernel did not take of what was taken last."""
        self._rest = rest
