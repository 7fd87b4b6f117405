"""Owner: what the parts of a connection call the one that holds them together.

It is one class for all three parts, the driver, the stream and the dispatcher, because in the compiled form calling a method of
a known class costs a tenth of calling it by its name, and a class of C has one base.
"""

from __future__ import annotations

from ..driver.emitter import Observer
from ..events import Event

__all__ = ['Owner']


class Owner(Observer):
    """To be derived from; who has no stream does without that part. A stream calls on the hub, a dispatcher anywhere."""

    __slots__ = ()

    # ---- by a stream

    def received(self, chunk: bytes) -> bool:
        """Takes bytes that came. True if ``uncork`` will be called, once what they lead to was written."""
        raise NotImplementedError

    def ended(self, reason: str) -> None:
        """The connection is gone: ``reason`` is empty when the peer just closed it."""
        raise NotImplementedError

    def interrupted(self) -> None:
        """End the connection: a signal's handler raised while it was read."""
        raise NotImplementedError

    def drained(self) -> None:
        """A peer that was behind has caught up."""
        raise NotImplementedError

    def stopped(self) -> None:
        """Nothing can be sent any more; what has come is yet to be read, when reading goes on."""
        raise NotImplementedError

    # ---- by a dispatcher

    def relieved(self) -> None:
        """A queue that was full is one event shorter."""
        raise NotImplementedError

    def delivered(self, event: Event) -> None:
        """The handlers of the close event have run, or it is kept."""
        raise NotImplementedError

    def failed(self) -> None:
        """A handler raised, or its greenlet was killed."""
        raise NotImplementedError

    def rests(self) -> None:
        """The handlers that ran are done for now, or block."""
