"""Counters of what sockets do, for a monitoring system to collect.

    from faye_websocket import metrics

    counters = metrics.enable()
    counters.server.opened
    counters.snapshot()

Only sockets that are made after ``enable()`` are counted. They get a connection of
another class, which counts, so others pay nothing. Each process has its own counters: a
worker that is forked begins at 0, under gunicorn's ``--preload`` too. They may be read
in any OS thread.

Workers that are forked after ``share()`` was called have their counters in memory that
all of them can read: ``counters.total()``, ``prometheus`` and ``exposition()`` give the
sums, to which workers that have ended go on to belong.
"""

from __future__ import annotations

import logging

from ..servers.stack import find_variables
from .counted import disable, enable, get_counters
from .counters import LIVES, Counters, Counting, SocketCounters
from .exposition import exposition, prometheus
from .shared import Shared

__all__ = [
    'LIVES',
    'Counters',
    'Counting',
    'SocketCounters',
    'disable',
    'enable',
    'exposition',
    'prometheus',
    'share',
]

logger = logging.getLogger('faye_websocket')

_TOO_LATE = (
    'metrics.share() in a worker of gunicorn shares nothing with the other workers: call it'
    ' in gunicorn.conf.py, or set preload_app'
)


def share() -> None:
    """Share the counters of all processes that are forked from this one.

    To be called where a server's master comes before it forks, such as in
    ``gunicorn.conf.py``; once is enough. The counters last as long as the master. In a
    worker of gunicorn it is too late, and a warning is logged.
    """
    counters = get_counters()
    if not counters.is_shared:
        if find_variables('gunicorn.workers.base', 'load_wsgi'):
            logger.warning(_TOO_LATE)
        counters.share(Shared())
