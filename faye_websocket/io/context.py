"""The option ``context``: handlers that run in a context of the application's.

Where the option is used, the dispatcher's target is an ``InContext`` in front of the
socket. Other sockets have nothing of it, and pay nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context

from ..events import Event, EventTarget
from .dispatch import Target

__all__ = ['InContext', 'in_context']


class InContext(EventTarget):
    """A target whose handlers, those of ``socket``, run in copies of ``context``.

    Each call has a copy of its own, because a context can be entered only once at a
    time: many sockets may have one context, and a handler may dispatch an event.
    """

    __slots__ = ('_context', '_socket')

    def __init__(self, socket: Target, context: Context) -> None:
        super().__init__()
        self._socket = socket
        self._context = context

    @property
    def _own_logger(self) -> logging.Logger:  # type: ignore[override]
        return self._socket._own_logger

    @property
    def url(self) -> str:
        """The URL of the socket, which the log names."""
        return self._socket.url

    def dispatch_event(self, event: Event) -> bool:
        """Run the handlers of the socket."""
        return bool(self._context.copy().run(self._socket.dispatch_event, event))

    def _call(self, function: Callable[[], object]) -> None:
        self._context.copy().run(function)


def in_context(socket: Target, context: Context | None) -> Target:
    """Return the target whose handlers are those of ``socket``, run in ``context``.

    Raise TypeError for what is not a context.
    """
    if context is None:
        return socket
    if not isinstance(context, Context):
        raise TypeError(f'context: expected a contextvars.Context or None, got {context!r:.80}')
    return InContext(socket, context)
