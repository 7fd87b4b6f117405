"""Backlog: what waits while the kernel refuses a connection's bytes."""

from __future__ import annotations

from collections import deque

__all__ = ['BURST', 'Backlog']

# What is sent at once leaves when it has this many bytes, even if more is to come: about
# what one segment of loopback carries.
BURST = 65536


class Backlog:
    """The rest of what the kernel was given; what is urgent, which goes next; and frames in their order."""

    __slots__ = ('_frames', '_rest', '_urgent')

    def __init__(self, rest: memoryview) -> None:
        self._rest: memoryview | None = rest
        self._urgent: dict[str, bytes] = {}
        self._frames: deque[bytes] = deque()

    def append(self, frame: bytes) -> None:
        """Goes after all that waits."""
        self._frames.append(frame)

    def put_urgent(self, frame: bytes, tag: str) -> int:
        """Goes before the frames, in place of a waiting one with the same ``tag``. Answers how many bytes more that makes."""
        growth = len(frame) - len(self._urgent.get(tag, b''))
        self._urgent[tag] = frame
        return growth

    def drop(self) -> int:
        """Forgets what has not begun to go out, and answers how many bytes are left."""
        self._frames.clear()
        self._urgent.clear()
        return len(self._rest) if self._rest is not None else 0

    def take(self) -> bytes | memoryview | None:
        """What goes next, or as many of the frames as make a burst; ``None`` when nothing waits."""
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
        """What the kernel did not take of what was taken last."""
        self._rest = rest
