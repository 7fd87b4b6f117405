"""Forked children in a test: a real one, or this process in the role of one."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gevent.os
import pytest

from faye_websocket.io import dial, own_socket, race, scheduler, shutdown, tls
from faye_websocket.servers import uwsgi
from tests.support.waiting import DEADLINE


@contextmanager
def as_forked_child() -> Iterator[None]:
    """Make this process believe that it is a forked child.

    The objects that it stops meanwhile remain stopped.
    """
    ours = SimpleNamespace(**{**vars(os), 'getpid': lambda: -1})
    with pytest.MonkeyPatch.context() as patch:
        # Not for gevent, which would believe that its threads are lost.
        for module in (dial, own_socket, race, scheduler, shutdown, tls, uwsgi):
            patch.setattr(module, 'os', ours)
        scheduler._after_fork_in_child()
        try:
            yield
        finally:
            # The objects that were made meanwhile belong to no existing process.
            scheduler._after_fork_in_child()


def in_forked_child(function: Callable[[], Any]) -> Any:
    """Return the result of ``function`` in a forked child in which gevent runs.

    The child does nothing else, and ends.
    """
    reader, writer = os.pipe()
    pid = gevent.os.fork_gevent()
    if pid == 0:
        _answer(writer, function)
    os.close(writer)
    with os.fdopen(reader, 'rb') as file:
        answer = json.loads(file.read() or '"the child was killed"')
    os.waitpid(pid, 0)
    return answer


def _answer(writer: int, function: Callable[[], Any]) -> None:
    """Run the function in the child, and write its result."""
    signal.alarm(int(DEADLINE))
    try:
        answer = function()
    except BaseException:
        answer = traceback.format_exc()
    os.write(writer, json.dumps(answer).encode())
    os._exit(0)
