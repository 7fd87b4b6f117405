"""Validation of values from programs and clients, none of which are trusted."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from ..api import to_data
from ..driver.text import encode_text
from ..eventsource.source import to_event
from ..io.limits import check_number

__all__ = [
    'check_count',
    'check_event',
    'check_name',
    'check_seconds',
    'check_since',
    'check_url',
    'clean_data',
]

_SCHEMES = (
    'memory',
    'redis',
    'rediss',
    'unix',
    'redis+sentinel',
    'rediss+sentinel',
    'redis+cluster',
    'rediss+cluster',
)
_ID = re.compile(r'(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})')
# The numbers of an id are less than this, because no id could follow the largest one.
_TOO_LARGE = 2**64 - 1
_LONGEST_NAME = 255


def check_since(since: Any) -> str | None:
    """Return an id that may be one of ours, or None for any other value.

    Never raise: the value comes from a client, perhaps a hostile one, as JSON of any
    shape.
    """
    if not isinstance(since, str):
        return None
    found = _ID.fullmatch(since)
    if found is None or max(int(found[1]), int(found[2])) >= _TOO_LARGE:
        return None
    return since


def check_name(what: str, name: Any) -> str:
    """Return a name of 1 to 255 characters without control characters.

    Raise TypeError or ValueError for any other value, which the error calls ``what``.
    """
    if not isinstance(name, str):
        raise TypeError(f'{what}: expected a str, got {name!r:.80}')
    clean = encode_text(name).decode()
    if '\ufffd' in clean and clean.count('\ufffd') != name.count('\ufffd'):
        raise ValueError(f'{what}: expected no lone surrogate, got {name!r:.80}')
    if not 1 <= len(clean) <= _LONGEST_NAME:
        raise ValueError(f'{what}: expected 1 to {_LONGEST_NAME} characters, got {len(clean)}')
    if any(unicodedata.category(character) == 'Cc' for character in clean):
        raise ValueError(f'{what}: expected no control character, got {name!r:.80}')
    return clean


def check_event(event: Any) -> str | None:
    """Return the type of an event.

    Raise TypeError or ValueError for a value that cannot be one.
    """
    if event is None:
        return None
    # Raises for a type that an event source could not send.
    to_event('', event)
    return encode_text(str(event)).decode()


def clean_data(message: Any) -> str | bytes:
    """Return the data of a message, with U+FFFD in place of each lone surrogate.

    Raise TypeError for a message that no socket could receive.
    """
    data = to_data(message)
    return encode_text(data).decode() if isinstance(data, str) else data


def check_url(url: Any) -> str:
    """Return the URL of a backend. Raise TypeError or ValueError if it is invalid."""
    if not isinstance(url, str):
        raise TypeError(f'url: expected a str, got {url!r:.80}')
    scheme = url.partition(':')[0]
    if scheme not in _SCHEMES:
        raise ValueError(f'url: expected one of {", ".join(_SCHEMES)}, got {scheme!r:.80}')
    return url


def check_count(what: str, number: Any) -> int:
    """Return a number of messages. Raise TypeError or ValueError if it is invalid."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f'{what}: expected an int, got {number!r:.80}')
    if number < 0:
        raise ValueError(f'{what}: expected at least 0, got {number!r}')
    return number


def check_seconds(what: str, seconds: Any) -> float:
    """Return a number of seconds. Raise TypeError or ValueError for anything else."""
    check_number(what, seconds)
    if not seconds >= 0:
        raise ValueError(f'{what}: expected at least 0 seconds, got {seconds!r}')
    return float(seconds)
