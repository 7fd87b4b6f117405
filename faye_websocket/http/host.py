"""The host of a URL in the form that DNS, certificates and Host headers use.

It is converted to ASCII: a name, an IPv4 address in four decimal numbers, or an IPv6
address without brackets. An invalid host raises ValueError. The rules are those of
WHATWG's URL standard, section 3.5, "host parsing".
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from socket import inet_aton, inet_ntoa
from unicodedata import ucd_3_2_0
from urllib.parse import unquote

__all__ = ['parse_host', 'to_ascii_host']

# RFC 3986 section 3.2.2, a registered name; without "%", since the name is decoded.
_NAME = re.compile(r"[-.~\w!$&'()*+,;=]*", re.ASCII)
_NUMBER = re.compile(r'\d+|0x[\da-f]*', re.ASCII)

# Characters of Unicode 3.2 that Python's codec "idna" maps to others than UTS 46 does:
# deviation characters, fillers, Cherokee, characters that contain a dot, NFKC's
# corrigendum 4, and capitals without a small letter in Unicode 3.2: only the codec of
# Python 3.15 leaves them as they are.
_MISTAKEN = re.compile(
    '[\xdf\u03c2\u04c0\u10a0-\u10c5\u200c\u200d\u115f\u1160\u13a0-\u13f4\u17b4\u17b5\u1806\u2024-\u2026'
    '\u2132\u2183\u2488-\u249b\u3164\u33c2\u33c7\u33d8\ufe30\ufe52\uffa0'
    '\U0002f868\U0002f874\U0002f91f\U0002f95f\U0002f9bf]'
)


def parse_host(text: str) -> str:
    """Return the host of a URL, which may be percent-encoded or in brackets."""
    if text.startswith('['):
        return _parse_ipv6(text.removeprefix('[').removesuffix(']'))
    return to_ascii_host(unquote(text, errors='strict'))


def to_ascii_host(name: str) -> str:
    """Return a host name, or an IPv4 address, in ASCII and lower case.

    If the package ``idna`` is installed, a name that is not ASCII is converted as
    browsers do it, by UTS 46 (not transitional). Without it, raise ValueError for a
    name that Python's own codec may convert to another one.
    """
    host = name.lower() if name.isascii() else _apply_idna(name)
    if not _NAME.fullmatch(host):
        raise ValueError(f'{name!r} has characters that are not allowed in a host')
    return _normalize_ipv4(host)


def _normalize_ipv4(host: str) -> str:
    """Return an IPv4 address in four decimal numbers, and any other name unchanged."""
    address = host.removesuffix('.')
    # "ends in a number checker": a name with such an end must be an IPv4 address
    if not _NUMBER.fullmatch(address.rpartition('.')[2]):
        return host
    try:
        return inet_ntoa(inet_aton(address))
    except OSError:
        raise ValueError(f'{host!r} is not an IPv4 address') from None


def _parse_ipv6(text: str) -> str:
    """Return an IPv6 address in its shortest form."""
    # RFC 9844: zones are for user interfaces, and not for URLs.
    if '%' in text:
        raise ValueError(f'{text!r} has a zone, which is not allowed in a URL')
    return IPv6Address(text).compressed


def _apply_idna(name: str) -> str:
    """Return a name that is not ASCII in the form that DNS uses."""
    try:
        import idna
    except ImportError:
        return _apply_old_idna(name)
    # UTS 46 section 4, with CheckHyphens, VerifyDnsLength and UseSTD3ASCIIRules off, as
    # WHATWG demands. ``idna.encode`` is stricter: it refuses symbols and emoji.
    labels = idna.uts46_remap(name, std3_rules=False).split('.')
    if '' in labels[:-1]:
        raise ValueError(f'{name!r} has an empty label')
    return '.'.join(map(_encode_label, labels))


def _encode_label(label: str) -> str:
    """Return a label that was mapped by UTS 46 in the form that DNS uses."""
    import idna

    if label.isascii():
        return label
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    for position, character in enumerate(label):
        if character in '\u200c\u200d' and not idna.valid_contextj(label, position):
            raise ValueError(f'{label!r} has a joiner where none is allowed')
    return 'xn--' + label.encode('punycode').decode()


def _apply_old_idna(name: str) -> str:
    """Return a name that is not ASCII in the form that DNS uses, if Python's codec can.

    The codec implements IDNA 2003 with Unicode 3.2. Raise ValueError, with the name of
    the extra to install, for a name that it may convert to another one.
    """
    is_known = all(ucd_3_2_0.category(character) != 'Cn' for character in name)
    if is_known and not _MISTAKEN.search(name):
        try:
            return name.encode('idna').decode()
        except UnicodeError:
            pass
    raise ValueError(
        f"{name!r} can be converted only by the package idna: pip install 'faye-websocket[idna]'"
    )
