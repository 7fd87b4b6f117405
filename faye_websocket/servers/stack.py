"""The calling greenlet's stack, for what nothing else can tell.

A server, or an event loop, that runs the caller is there with its variables, however
many layers of middleware lie between. gevent's greenlets share an OS thread, but none
has another's frames. Compiled functions have no frames.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import FrameType
from typing import Any

__all__ = ['find_variables', 'is_in_coroutine', 'is_same_request']


def find_variables(module: str, function: str) -> Mapping[str, Any]:
    """Return the variables of the innermost call of a function, or none."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == function and _module_of(frame) == module:
            return frame.f_locals
        frame = frame.f_back
    return {}


def is_same_request(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Return whether both environs are of one request.

    Then they share a header's text, not only its characters. A test client, say, may
    call an application within a request, with an environ that it has made up.
    """
    # The interpreter keeps one object for each text of one character.
    names = [name for name in theirs if name.startswith('HTTP_')]
    return any(len(theirs[name]) > 1 and theirs[name] is ours.get(name) for name in names)


def is_in_coroutine() -> bool:
    """Return whether an ``async def`` function leads to the caller."""
    frame = inspect.currentframe()
    while frame is not None and not frame.f_code.co_flags & inspect.CO_COROUTINE:
        frame = frame.f_back
    return frame is not None


def _module_of(frame: FrameType) -> str | None:
    name: str | None = frame.f_globals.get('__name__')
    return name
