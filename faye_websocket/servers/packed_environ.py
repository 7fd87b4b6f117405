"""PackedEnviron: the environ of a long-lived socket's request, in little memory.

A WSGI environ takes 3 KiB in forty objects, and refers to what belongs to the request:
its input, the server's socket. An idle WebSocket would weigh three times as much if it
kept it. Packed, it takes little more than its text, and nothing of the request outlives
it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .hijack import ADAPTERS

__all__ = ['PackedEnviron']

# Keys of what belongs to the request and ends with it.
_DROPPED = frozenset({'wsgi.early_hints', 'wsgi.input'}).union(
    *(adapter.request_keys for adapter in ADAPTERS.values())
)
_SEPARATOR = '\0'


# Keys that are shared outlive the connection, so no more of them are, and no longer
# ones, than programs and proxies send. 256 times as much is 2.5 MB; a hostile request
# may have 800 KB of them.
_MOST_KEYS, _MOST_CHARACTERS = 128, 2048


def _share(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one tuple for all requests with these keys, as a client program sends."""
    length = 0
    for name in names:
        length += len(name)
    is_common = len(names) <= _MOST_KEYS and length <= _MOST_CHARACTERS
    return _shared(names) if is_common else names


@lru_cache(maxsize=256)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


class PackedEnviron:
    """An environ. ``unpack()`` returns it again, with an empty ``wsgi.input``."""

    __slots__ = ('_names', '_others', '_text')

    def __init__(self, environ: Mapping[str, Any]) -> None:
        names: list[str] = []
        texts: list[str] = []
        other_names: list[str] = []
        others: list[Any] = []
        for name, value in environ.items():
            if type(value) is str:
                names.append(name)
                texts.append(value)
            elif name not in _DROPPED:
                other_names.append(name)
                others.append(value)
        self._names = _share((*names, *other_names))
        text = _SEPARATOR.join(texts)
        if text.count(_SEPARATOR) >= len(texts):
            # A value contains it, for which no server is known.
            text, others = '', texts + others
        self._text = text
        self._others = tuple(others)

    def unpack(self) -> dict[str, Any]:
        """Return a new dict."""
        texts = self._text.split(_SEPARATOR) if len(self._names) > len(self._others) else []
        return {
            **dict(zip(self._names, (*texts, *self._others), strict=True)),
            'wsgi.input': io.BytesIO(),
        }
