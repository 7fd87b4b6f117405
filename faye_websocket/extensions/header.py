"""The grammar of Sec-WebSocket-Extensions (RFC 6455 section 9.1), in both directions.

The header is parsed in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ['Parameters', 'parse_extensions', 'serialize_extension']

# True for a parameter without a value; a list for one that is repeated.
Value = str | bool
Parameters = dict[str, Value | list[Value]]

# The greatest number of extensions and parameters in a header. An offer of
# permessage-deflate has five at most.
_MAX_PARTS = 100

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 section 5.6.1.2: "A recipient MUST parse and ignore a reasonable number of
# empty list elements"
_EMPTY = re.compile(r'[ \t,]*')
# A name, an optional value, and the character that ends them. No part of the pattern
# can match a text in two ways, so that it cannot backtrack far (CVE-2020-7662,
# CVE-2020-7663).
_PART = re.compile(
    rf'[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*(?:([;,])|\Z)'
)


def parse_extensions(header: str) -> list[tuple[str, Parameters]]:
    """Return the offers of a header in their order, each as a name and its parameters.

    Raise ValueError for a header that is malformed or has too many parts.
    """
    offers: list[tuple[str, Parameters]] = []
    position, separator = 0, ','
    parts = 0
    while separator is not None:
        if separator == ',':
            position = _skip_empty(header, position)
            if position == len(header):
                break
        parts += 1
        if parts > _MAX_PARTS:
            raise ValueError(
                f'more than {_MAX_PARTS} extensions and parameters in the Sec-WebSocket-Extensions header'
            )
        match = _PART.match(header, position)
        if match is None or (separator == ',' and (match[2] is not None or match[3] is not None)):
            raise ValueError(f'malformed Sec-WebSocket-Extensions header at character {position}')
        if separator == ',':
            offers.append((match[1], {}))
        else:
            _add(offers[-1][1], match)
        position, separator = match.end(), match[4]
    return offers


def _skip_empty(header: str, position: int) -> int:
    """Return the position of the list's next element that is not empty."""
    match = _EMPTY.match(header, position)
    assert match is not None
    return match.end()


def _add(parameters: Parameters, match: re.Match[str]) -> None:
    """Add one parameter to those of its extension."""
    name, value = match[1], _value(match)
    if name not in parameters:
        parameters[name] = value
        return
    earlier = parameters[name]
    if isinstance(earlier, list):
        earlier.append(value)
    else:
        parameters[name] = [earlier, value]


def _value(match: re.Match[str]) -> Value:
    """Return the value of a parameter, without the quotes and the backslashes."""
    if match[3] is not None:
        return re.sub(r'\\(.)', r'\1', match[3])
    return True if match[2] is None else match[2]


def serialize_extension(name: str, parameters: Mapping[str, Value | Iterable[Value]]) -> str:
    """Return an extension with its parameters, as it is written in the header.

    A parameter that is False is left out.
    """
    parts = [name]
    for key, values in parameters.items():
        for value in [values] if isinstance(values, (str, bool)) else values:
            if value is True:
                parts.append(key)
            elif value is not False:
                parts.append(
                    f'{key}={value}'
                    if re.fullmatch(_TOKEN, str(value))
                    else f'{key}={_quoted(str(value))}'
                )
    return '; '.join(parts)


def _quoted(value: str) -> str:
    """Return a value that is not a token as a quoted string."""
    return '"' + re.sub(r'(["\\])', r'\\\1', value) + '"'
