"""Files of certificates and keys that cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from faye_websocket import Client
from faye_websocket.io.pem import load_authorities, load_certificate
from tests.support.certificates import session_certificate

NOT_PEM = 'in PEM format can be read from'


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Paths by name."""
    mine = session_certificate()
    (tmp_path / 'text').write_text('hello')
    return {
        'missing': str(tmp_path / 'missing'), 'directory': str(tmp_path), 'text': str(tmp_path / 'text'),
        'cert': mine.certfile, 'key': mine.keyfile, 'authority': mine.authority}


def text_of(error: pytest.ExceptionInfo[OSError], files: dict[str, str]) -> str:
    """Return the text of an error, with names in the place of paths."""
    text = str(error.value)
    for name in ('text', 'missing', 'directory', 'cert', 'key', 'authority'):
        text = text.replace(repr(files[name]), name)
    return text


@pytest.mark.parametrize(('cert', 'key', 'text'), [
    ('missing', None, '[Errno 2] No such file or directory: missing'),
    ('directory', None, '[Errno 21] Is a directory: directory'),
    ('cert', 'missing', '[Errno 2] No such file or directory: missing'),
    ('text', None, f'no certificate {NOT_PEM} text: '),
    ('text', 'key', f'no certificate {NOT_PEM} text: '),
    ('key', None, f'no certificate {NOT_PEM} key: '),
    ('cert', None, f'no private key {NOT_PEM} cert: '),
    ('cert', 'text', f'no private key {NOT_PEM} text: '),
    ('authority', 'key', 'the private key of key is not that of authority'),
])
def test_a_certificate_that_cannot_be_used_is_named(
        files: dict[str, str], cert: str, key: str | None, text: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(OSError) as raised:
        load_certificate(context, files[cert], key and files[key])
    assert text_of(raised, files).startswith(text)
    load_certificate(context, files['cert'], files['key'])


@pytest.mark.parametrize(('name', 'text'), [
    ('missing', '[Errno 2] No such file or directory: missing'),
    ('text', f'no certificate {NOT_PEM} text: '), ('key', f'no certificate {NOT_PEM} key: ')])
def test_authorities_that_cannot_be_read_are_named(files: dict[str, str], name: str, text: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(OSError) as raised:
        load_authorities(context, files[name])
    assert text_of(raised, files).startswith(text)
    load_authorities(context, files['authority'])


@pytest.mark.parametrize('tls', [{'root_cert_file': 'missing'}, {'root_cert_file': ['authority', 'missing']},
                                 {'cert_file': 'cert', 'key_file': 'missing'}])
def test_a_client_names_them_too(files: dict[str, str], tls: dict[str, Any]) -> None:
    found = {
        name: [files[each] for each in value] if isinstance(value, list) else files[value]
        for name, value in tls.items()}
    with pytest.raises(FileNotFoundError) as raised:
        Client('wss://h/', tls=found)
    assert text_of(raised, files) == '[Errno 2] No such file or directory: missing'
