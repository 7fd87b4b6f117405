"""The host of a URL in ASCII: addresses, and names of any script with and without idna.
"""

from __future__ import annotations

import sys
from unicodedata import ucd_3_2_0

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.http.host import parse_host, to_ascii_host

#: From Unicode's conformance tests, or from what all browsers do.
NAMES = [
    ('Example.COM', 'example.com'),
    ('example.com.', 'example.com.'),
    ('my_service', 'my_service'),
    ('b\xfccher.example', 'xn--bcher-kva.example'),
    ('B\xdcCHER.example', 'xn--bcher-kva.example'),
    ('bu\u0308cher.example.', 'xn--bcher-kva.example.'),
    ('\uff42\xfccher\u3002example', 'xn--bcher-kva.example'),
    ('\u2603.net', 'xn--n3h.net'),
    ('\u4f8b\u3048.\u30c6\u30b9\u30c8', 'xn--r8jz45g.xn--zckzah'),
    ('\u0645\u062b\u0627\u0644', 'xn--mgbh0fb'),
    ('xn--bcher-kva.\xe9', 'xn--bcher-kva.xn--9ca'),
]
#: Names that Python's codec converts to others, or not at all.
NAMES_OF_UTS_46 = [
    ('fa\xdf.example', 'xn--fa-hia.example'),
    ('FA\u1e9e.example', 'xn--fa-hia.example'),
    ('\u03b2\u03cc\u03bb\u03bf\u03c2.com', 'xn--nxasmm1c.com'),
    ('\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com', 'xn--mgba3gch31f060k.com'),
    ('\u0dc1\u0dca\u200d\u0dbb\u0dd3.com', 'xn--10cl1a0b660p.com'),
    ('\U0001f4a9.la', 'xn--ls8h.la'),
    ('a\u13a0b', 'xn--ab-y8l'),
    ('\xad', ''),
]
NOT_NAMES = [
    'a\u200db', 'a\u200cb', '\u0301a.example', '\u0661a', 'a\u05d0', '\u2024', 'a\u2488b', 'a\u0378b', '\xe9..e', '\ufdd0',
    '\ue000', '\xe9\ud800', '\xe9 e', '\xe9\0', '\uff05\uff14\uff11', '\xa0', '\uff0f', 'a\uff20b',
]


@pytest.fixture
def no_idna(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which the package cannot be imported."""
    monkeypatch.setitem(sys.modules, 'idna', None)


@pytest.mark.proves('K4')
@pytest.mark.parametrize(('name', 'host'), [*NAMES, *NAMES_OF_UTS_46])
def test_names_are_converted_as_browsers_do(name: str, host: str) -> None:
    assert to_ascii_host(name) == parse_host(name) == host


@pytest.mark.proves('K11')
@pytest.mark.parametrize('name', NOT_NAMES)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        to_ascii_host(name)


@pytest.mark.usefixtures('no_idna')
class TestWithoutThePackage:
    @pytest.mark.parametrize(('name', 'host'), NAMES)
    def test_names_that_python_converts_correctly_are_converted(self, name: str, host: str) -> None:
        assert to_ascii_host(name) == host

    @pytest.mark.parametrize('name', [name for name, _ in NAMES_OF_UTS_46])
    def test_other_names_are_refused_with_the_name_of_the_extra(self, name: str) -> None:
        with pytest.raises(ValueError) as raised:
            to_ascii_host(name)
        assert str(raised.value) == (
            f"{name!r} can be converted only by the package idna: pip install 'faye-websocket[idna]'")

    @pytest.mark.parametrize('name', ['\xe9..e', '\xe9\ud800', '\ue000', '\xa0', '\uff0f', 'a\uff20b'])
    def test_what_is_no_name_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError):
            to_ascii_host(name)


def convert(name: str) -> str | None:
    """Return the host, or None."""
    try:
        return to_ascii_host(name)
    except ValueError:
        return None


def characters() -> list[str]:
    """Return the characters of Unicode 3.2, with a sample of ideographs and Hangul
    syllables.
    """
    many = [range(0x3400, 0xA000), range(0xAC00, 0xD7A4), range(0x20000, 0x2A6D7)]
    return [
        chr(point) for point in range(0x80, 0x110000)
        if ucd_3_2_0.category(chr(point)) not in ('Cn', 'Co', 'Cs')
        and (point % 50 == 0 or not any(point in each for each in many))]


def test_without_the_package_no_character_is_converted_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for each in characters() for name in (f'a{each}b', f'\u05d0{each}\u05d0', f'e{each}\u0301')]
    right = {name: convert(name) for name in names}
    monkeypatch.setitem(sys.modules, 'idna', None)
    wrong = {
        name: (host, right[name]) for name in names
        if (host := convert(name)) is not None and right[name] not in (host, None)}
    assert (len(names) > 20_000, wrong) == (True, {})


@given(st.text(min_size=1))
def test_is_ascii_or_refused(name: str) -> None:
    host = convert(name)
    assert host is None or (host.isascii() and host == to_ascii_host(host))


@pytest.mark.proves('K11')
@pytest.mark.parametrize(('text', 'host'), [
    ('127.0.0.1', '127.0.0.1'), ('127.0.0.1.', '127.0.0.1'), ('127.1', '127.0.0.1'), ('0x7F.1', '127.0.0.1'),
    ('2130706433', '127.0.0.1'), ('0177.0.0.1', '127.0.0.1'), ('\uff11\uff12\uff17.1', '127.0.0.1'), ('1.2.3.4x', '1.2.3.4x'),
    ('1.example', '1.example'), ('.', '.'), ('', ''),
    ('[::1]', '::1'), ('[2001:DB8::0:1]', '2001:db8::1'), ('[0:0:0:0:0:0:0:0]', '::'), ('%5Bx', None),
    ('1.2.3.256', None), ('1.2.3.4.5', None), ('x.09', None), ('x.0x', None), ('x.1.', None), ('[::1%1]', None),
    ('[127.0.0.1]', None),
])
def test_addresses_are_normalized(text: str, host: str | None) -> None:
    if host is not None:
        assert parse_host(text) == host
        return
    with pytest.raises(ValueError):
        parse_host(text)
