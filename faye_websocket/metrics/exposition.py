"""The counters as Prometheus reads them: its text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from .counted import get_counters, is_by_path
from .counters import KINDS, LIVES, OTHER, Counting, SocketCounters, add_up

__all__ = ['exposition', 'prometheus']

_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
_COUNTERS = (
    ('opened', 'opened', 'Handshakes that succeeded'),
    ('failed', 'failed', 'Handshakes that failed without an HTTP error'),
    ('messages_received', 'received_messages', 'Messages delivered to the application'),
    ('messages_sent', 'sent_messages', 'Messages that send() accepted'),
    ('bytes_received', 'received_bytes', 'Bytes received'),
    ('bytes_sent', 'sent_bytes', 'Bytes that the kernel accepted'),
    ('dropped', 'dropped_messages', 'Messages dropped by overflow=drop'),
    ('handler_errors', 'handler_errors', 'Exceptions raised by handlers'),
)
_BY_NUMBER = (
    ('closed', 'code', 'Sockets that were open and are closed'),
    ('refused', 'status', 'Handshakes refused with an HTTP error'),
)

# The labels of counters, as they are written, and the counters.
_Labelled = list[tuple[str, SocketCounters]]


def prometheus(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Return a page with the counters of all workers: a WSGI application."""
    body = exposition().encode()
    start_response('200 OK', [('Content-Type', _TYPE), ('Content-Length', str(len(body)))])
    return [body]


def exposition() -> str:
    """Return the counters of all workers in the text format of Prometheus.

    It may follow that of prometheus_client's ``generate_latest()``.
    """
    counters = _label(get_counters().blocks())
    lines = [
        *_family('open', 'gauge', 'Sockets that are open', _values('open', counters)),
        *(
            line
            for name, metric, text in _COUNTERS
            for line in _family(f'{metric}_total', 'counter', text, _values(name, counters))
        ),
        *(
            line
            for name, label, text in _BY_NUMBER
            for line in _family(f'{name}_total', 'counter', text, _numbered(name, label, counters))
        ),
        *_family('life_seconds', 'histogram', 'Time that sockets were open', _lives(counters)),
    ]
    return ''.join(f'{line}\n' for line in lines)


def _label(blocks: list[tuple[str, str, Counting]]) -> _Labelled:
    """Return the sums for each kind and path.

    If one has a path, all have: a sum over the series of a metric shall have each
    socket once, and a series without the label would look like the sum of the others.
    """
    if not (is_by_path() or any(path for _, path, _ in blocks)):
        sums = {f'kind="{kind}"': SocketCounters() for kind in KINDS}
        for kind, _, block in blocks:
            add_up(sums[f'kind="{kind}"'], block)
        return list(sums.items())
    sums = {}
    for kind, path, block in blocks:
        if path or block.opened or block.failed or block.refused:
            labels = f'kind="{kind}",path="{_escape(path or OTHER)}"'
            add_up(sums.setdefault(labels, SocketCounters()), block)
    return list(sums.items())


def _escape(value: str) -> str:
    return value.replace('\\', r'\\').replace('"', r'\"').replace('\n', r'\n')


def _family(name: str, type: str, text: str, samples: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Yield the lines of one metric; a sample begins with what follows the name."""
    yield f'# HELP websocket_{name} {text}'
    yield f'# TYPE websocket_{name} {type}'
    for suffix, value in samples:
        yield f'websocket_{name}{suffix} {value}'


def _values(name: str, counters: _Labelled) -> Iterator[tuple[str, Any]]:
    for labels, each in counters:
        yield f'{{{labels}}}', getattr(each, name)


def _numbered(name: str, label: str, counters: _Labelled) -> Iterator[tuple[str, Any]]:
    for labels, each in counters:
        for number, count in sorted(getattr(each, name).items()):
            yield f'{{{labels},{label}="{number or "other"}"}}', count


def _lives(counters: _Labelled) -> Iterator[tuple[str, Any]]:
    for labels, each in counters:
        counts = list(accumulate(each.lives))
        for bound, count in zip(LIVES, counts, strict=True):
            yield f'_bucket{{{labels},le="{_bound(bound)}"}}', count
        yield f'_sum{{{labels}}}', each.lived
        yield f'_count{{{labels}}}', counts[-1]


def _bound(seconds: float) -> str:
    return '+Inf' if seconds == LIVES[-1] else str(seconds)
