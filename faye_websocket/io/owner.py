"""Owner: the methods that the parts of a connection call when something happens.

It is one class for all three parts, the driver, the stream and the dispatcher, because
in the compiled form calling a method of a known class costs a tenth of calling it by
its name, and a class of C has one base.
"""

from __future__ import annotations

from ..driver.emitter import Observer
from ..events import Event

__all__ = ['Owner']


class Owner(Observer):
    """A base class. One without a stream leaves out the methods of that part.

    A stream calls on the hub, a dispatcher anywhere.
    """

    __slots__ = ()

    # ---- by a stream

    def received(self, chunk: bytes) -> bool:
        """Handle bytes that came.

        True if ``uncork`` will be called, once what they lead to was written.
        """
        raise NotImplementedError

    def ended(self, reason: str) -> None:
        """Handle the end; ``reason`` is empty when the peer just closed its side."""
        raise NotImplementedError

    def interrupted(self) -> None:
        """End the connection: a signal's handler raised while it was read."""
        raise NotImplementedError

    def drained(self) -> None:
        """Go on: a peer that was behind has caught up."""
        raise NotImplementedError

    def stopped(self) -> None:
        """Send nothing any more. What has come is read when reading goes on."""
        raise NotImplementedError

    # ---- by a dispatcher

    def relieved(self) -> None:
        """Read on if that is time: a queue that was full is one event shorter."""
        raise NotImplementedError

    def delivered(self, event: Event) -> None:
        """Forget the connection: the close event was delivered, or is kept."""
        raise NotImplementedError

    def failed(self) -> None:
        """Close: a handler raised, or its greenlet was killed."""
        raise NotImplementedError

    def rests(self) -> None:
        """Send what the handlers have sent: they are done for now, or block."""
