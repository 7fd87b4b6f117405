"""HTTP/1.1 heads (RFC 9112), parsed and serialized without I/O.

Everything that a peer sends has a limit: a head may have ``MAX_HEAD`` bytes and
``MAX_HEADERS`` fields. Everything that a caller passes is checked for characters that
would end its line.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ..errors import HandshakeError

__all__ = [
    'MAX_HEAD',
    'MAX_HEADERS',
    'HeadParser',
    'HeaderList',
    'Headers',
    'RequestParser',
    'ResponseParser',
    'basic_credentials',
    'check_headers',
    'is_host',
    'is_token',
    'parse_fields',
    'replace_headers',
    'serialize_head',
    'split_target',
    'to_list',
    'tokens',
]

HeaderList = list[tuple[str, str]]
# The headers that a caller may pass.
Headers = Mapping[str, str] | Iterable[tuple[str, str]] | None

# The limits of Apache and nginx are of this order: 8 KiB a line and 100 lines, or 32
# KiB in all.
MAX_HEAD = 32768
MAX_HEADERS = 100
# Go's net/http accepted five, before it counted their bytes instead. Each of these may
# have MAX_HEAD bytes.
_MAX_INTERIM = 16

# RFC 9110 section 5.6.2
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5, without the obsolete line folding
_FIELD_VALUE = re.compile(r'[\t\x20-\x7e\x80-\xff]*')
# RFC 9112 section 5.2: the end of a line that is continued on the next one. Each run of
# blanks is tried only once, so that the search takes linear time.
_OBS_FOLD = re.compile(r'(?<![ \t])[ \t]*(?:\r\n[ \t]+)+')
# RFC 9110 section 7.2 and RFC 3986 section 3.2.2, with two exceptions. The zone of an
# IPv6 address may have any spelling. And commas are not allowed: no host has one, but
# two Host headers that a server has joined do.
# There is no \w, and no IGNORECASE, which are slower.
_HEX = '0-9A-Fa-f'
_CHARS = "-.~_0-9A-Za-z!$&'()*+;="
_IP_LITERAL = rf'\[(?:[{_HEX}:.]+(?:%[-.~_0-9A-Za-z%]+)?|[Vv][{_HEX}]+\.[{_CHARS}:]+)\]'
_REG_NAME = rf'(?=[^:])[{_CHARS}]*(?:%[{_HEX}]{{2}}[{_CHARS}]*)*'
_HOST = re.compile(rf'(?:[{_CHARS}]+|{_IP_LITERAL}|{_REG_NAME})(?::[0-9]*)?')
# RFC 9112 section 3.2.2
_ABSOLUTE_FORM = re.compile(r'(?:https?|wss?)://([^/?#]*)', re.IGNORECASE)
# 101 is a final response here: another protocol follows it.
_SWITCHING_PROTOCOLS = 101
_STATUS_LINE = re.compile(r'HTTP/1\.[01] (\d{3})(?: (.*))?')
_REQUEST_LINE = re.compile(r'([A-Z]+) ([\x21-\x7e]+) HTTP/(\d\.\d)')


def is_token(text: str) -> bool:
    """Return whether ``text`` is a token, as names of headers and subprotocols are."""
    return _TOKEN.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Return whether ``text`` is a host, perhaps with a port, as in a Host header."""
    return _HOST.fullmatch(text) is not None


def split_target(target: str) -> tuple[str | None, str]:
    """Return a request target's authority, or ``None``, and its path with the query."""
    match = _ABSOLUTE_FORM.match(target)
    if match is None:
        return None, target
    rest = target[match.end() :]
    # RFC 9110 section 4.2.3: an empty path is "equivalent to an absolute path of "/"".
    return match[1], rest if rest.startswith('/') else f'/{rest}'


def tokens(value: str) -> list[str]:
    """Return the elements of a comma-separated value, stripped, without empty ones."""
    return [token for token in (part.strip(' \t') for part in value.split(',')) if token]


def to_list(option: str, values: Iterable[Any], expected: str) -> list[Any]:
    """Return the value of an option as a list. Raise TypeError if it is not several."""
    try:
        each = iter(values)
    except TypeError:
        raise TypeError(f'{option}: expected {expected}, got {values!r:.80}') from None
    return list(each)


def check_headers(headers: Headers) -> HeaderList:
    """Return the caller's headers as a list of pairs.

    Raise TypeError or ValueError for an invalid one. CR, LF or NUL in a value would end
    the header and begin another.
    """
    if headers is None:
        return []
    pairs = to_list(
        'headers',
        headers.items() if isinstance(headers, Mapping) else headers,
        'a mapping or a list of pairs',
    )
    for pair in pairs:
        if (
            not isinstance(pair, tuple)
            or len(pair) != 2
            or not all(isinstance(part, str) for part in pair)
        ):
            raise TypeError(f'headers: expected pairs of strings, got {pair!r}')
        name, value = pair
        if not is_token(name):
            raise ValueError(f'headers: {name!r} is not a header name')
        if not _FIELD_VALUE.fullmatch(value):
            raise ValueError(
                f'headers: the value of {name} has a character that is not allowed in a header: {value!r}'
            )
    return pairs


def serialize_head(start_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a start line and its headers, with the empty line that ends them."""
    lines = [start_line, *[f'{name}: {value}' for name, value in headers], '', '']
    return '\r\n'.join(lines).encode('latin-1')


def replace_headers(head: bytes, dropped: Container[str], added: HeaderList) -> bytes:
    """Return a head without the headers ``dropped``, and with the headers ``added``.

    The head was serialized by a server, not received from a peer. The names in
    ``dropped`` are in lower case.
    """
    start_line, *lines = head.decode('latin-1').split('\r\n')[:-2]
    kept = [
        (name, value.strip())
        for name, _, value in (line.partition(':') for line in lines)
        if name.lower() not in dropped
    ]
    return serialize_head(start_line, kept + added)


def parse_fields(head: bytes) -> HeaderList:
    """Return the headers of a head that a server has serialized, not a peer."""
    lines = head.decode('latin-1').split('\r\n')[1:]
    fields = (line.partition(':') for line in lines)
    return [(name, value.strip()) for name, colon, value in fields if colon]


def basic_credentials(username: str, password: str | None) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return 'Basic ' + base64.b64encode(f'{username}:{password or ""}'.encode()).decode()


class HeadParser:
    """A parser of the head of a message, from chunks cut anywhere.

    It has ``start_line`` and ``headers`` once the head is complete, and ``rest``, the
    bytes that follow it.
    """

    __slots__ = ('_buffer', '_lines', 'rest', 'start_line')

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines = ''
        self.start_line = ''
        self.rest = b''

    @property
    def headers(self) -> HeaderList:
        """The headers in their order.

        They are stored as text, since a list of pairs of short strings would take
        thirty times the memory.
        """
        return [_split(line) for line in self._lines.split('\n') if line]

    def take_rest(self) -> bytes:
        """Return the bytes that follow the head, and forget them."""
        rest, self.rest = self.rest, b''
        return rest

    def parse(self, chunk: bytes) -> bool:
        """Parse the next bytes, and return whether the head is complete.

        Raise HandshakeError for an invalid head.
        """
        searched = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        start = self._find_start()
        end = self._buffer.find(b'\r\n\r\n', max(searched, start), MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD:
                raise HandshakeError(
                    '431 Request Header Fields Too Large', f'head is longer than {MAX_HEAD} bytes'
                )
            return False
        self.rest = bytes(self._buffer[end + 4 :])
        self._parse_lines(self._buffer[start:end].decode('latin-1').split('\r\n'))
        self._buffer.clear()
        return True

    def _find_start(self) -> int:
        """Return the position in the buffer at which the head begins."""
        return 0

    def _parse_lines(self, lines: list[str]) -> None:
        """Set the start line and the headers.

        Raise HandshakeError for an invalid header.
        """
        if len(lines) - 1 > MAX_HEADERS:
            raise HandshakeError(
                '431 Request Header Fields Too Large', f'head has more than {MAX_HEADERS} headers'
            )
        self.start_line = lines[0]
        kept = []
        for line in lines[1:]:
            name, colon, value = line.partition(':')
            value = value.strip(' \t')
            # RFC 9112 section 5.1: "No whitespace is allowed between the field name and
            # colon."
            if not colon or not is_token(name) or not _FIELD_VALUE.fullmatch(value):
                raise HandshakeError('400 Bad Request', f'malformed header line {line[:80]!r}')
            kept.append(f'{name}:{value}')
        self._lines = '\n'.join(kept)


def _split(line: str) -> tuple[str, str]:
    """Return the name and the value of a header."""
    name, _, value = line.partition(':')
    return name, value


class RequestParser(HeadParser):
    """A parser of the head of a request, which makes a WSGI ``environ`` of it."""

    __slots__ = ('_start',)

    def __init__(self) -> None:
        super().__init__()
        self._start = 0

    def _find_start(self) -> int:
        """Return the position at which the request line begins."""
        # RFC 9112 section 2.2: "a server [...] SHOULD ignore at least one empty line
        # (CRLF) received prior to the request-line."
        while self._buffer.startswith(b'\r\n', self._start):
            self._start += 2
        return self._start

    def environ(self, *, secure: bool = False) -> dict[str, str]:
        """Return the CGI variables of PEP 3333's environ.

        Raise HandshakeError if the request line is malformed.
        """
        match = _REQUEST_LINE.fullmatch(self.start_line)
        if match is None:
            raise HandshakeError(
                '400 Bad Request', f'malformed request line {self.start_line[:80]!r}'
            )
        method, target, version = match.groups()
        # RFC 9112 section 3.2.2: a server MUST accept the absolute form
        authority, target = split_target(target)
        path, _, query = target.partition('?')
        environ = {
            'REQUEST_METHOD': method,
            'SCRIPT_NAME': '',
            'PATH_INFO': unquote_to_bytes(path).decode('latin-1'),
            'QUERY_STRING': query,
            'SERVER_PROTOCOL': f'HTTP/{version}',
            'wsgi.url_scheme': 'https' if secure else 'http',
        }
        for name, value in self.headers:
            # CGI names do not distinguish underscores from hyphens, so that a header
            # with an underscore could pass for another one.
            if '_' in name:
                continue
            key = name.upper().replace('-', '_')
            key = key if key in ('CONTENT_LENGTH', 'CONTENT_TYPE') else f'HTTP_{key}'
            # RFC 9110 section 5.3: repeated fields are one list
            environ[key] = f'{environ[key]}, {value}' if key in environ else value
        # 3.2.2: "MUST ignore the received Host header field (if any) and instead use
        # the host information of the request-target". By 3.2, a request is refused even
        # then if its Host header is missing or invalid.
        if authority is not None and is_host(environ.get('HTTP_HOST', '')):
            environ['HTTP_HOST'] = authority
        return environ


class ResponseParser(HeadParser):
    """A parser of the head of a final response.

    It has ``status`` and ``reason`` once the head is complete.
    """

    __slots__ = ('_interim', 'reason', 'status')

    def __init__(self) -> None:
        super().__init__()
        self._interim = 0
        self.status = 0
        self.reason = ''

    def parse(self, chunk: bytes) -> bool:
        """Parse the next bytes, and return whether the head is complete.

        Interim responses are skipped. Raise HandshakeError for an invalid head.
        """
        while super().parse(chunk):
            self._parse_status_line()
            if not 100 <= self.status < 200 or self.status == _SWITCHING_PROTOCOLS:
                return True
            chunk = self._pass_over()
        return False

    def _parse_status_line(self) -> None:
        """Set the status and the reason.

        Raise HandshakeError for a malformed status line.
        """
        match = _STATUS_LINE.fullmatch(self.start_line)
        if match is None:
            raise HandshakeError('', f'expected an HTTP response, got {self.start_line[:80]!r}')
        self.status = int(match[1])
        self.reason = match[2] or ''

    def _pass_over(self) -> bytes:
        """Forget an interim response, and return the bytes that follow it.

        Raise HandshakeError if there are too many.
        """
        # RFC 9110 section 15.2: "A client MUST be able to parse one or more 1xx
        # responses received prior to a final response, even if the client does not
        # expect one."
        self._interim += 1
        if self._interim > _MAX_INTERIM:
            text = f'more than {_MAX_INTERIM} interim responses'
            raise HandshakeError('', f'{text}, the last with status {self.status}')
        rest = self.take_rest()
        self._lines = ''
        self.status, self.reason = 0, ''
        return rest

    def _parse_lines(self, lines: list[str]) -> None:
        """Set the start line and the headers, with folded lines joined."""
        # RFC 9112 section 5.2: "MUST replace each received obs-fold with one or more SP
        # octets". 2.2: before the first header there is no line to continue.
        headers = _OBS_FOLD.sub(' ', '\r\n'.join(lines[1:]))
        super()._parse_lines([lines[0], *(headers.split('\r\n') if headers else ())])

    def get(self, name: str) -> str | None:
        """Return the value of a header, or None.

        The values of repeated headers are joined by commas (RFC 9110 section 5.3).
        """
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ', '.join(values) if values else None
