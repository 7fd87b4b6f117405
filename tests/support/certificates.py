"""A certificate authority, and a certificate for localhost, made with ``openssl``."""

from __future__ import annotations

import atexit
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from tests.support.programs import require_program

EXTENSIONS = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
"""

NEW_KEY = ('-newkey', 'rsa:2048', '-nodes', '-sha256')


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files: the authority that a client trusts, and a certificate with
    its key.
    """

    authority: str
    certfile: str
    keyfile: str

    def client_context(self) -> ssl.SSLContext:
        """Return the context of a client that verifies the server's certificate and
        name.
        """
        return ssl.create_default_context(cafile=self.authority)


@cache
def session_certificate() -> Certificate:
    """Return the certificate of this test run.

    Its files are removed when the process ends.
    """
    directory = mkdtemp(prefix='faye-websocket-tls-')
    atexit.register(rmtree, directory, ignore_errors=True)
    return make_certificate(Path(directory))


def make_certificate(directory: Path) -> Certificate:
    """Make an authority, and a certificate that it has signed, in ``directory``."""
    certificate = Certificate(*(str(directory / name) for name in ('ca.pem', 'server.pem', 'server.key')))
    make_authority(directory, certificate)
    sign_server(directory, certificate)
    return certificate


def make_authority(directory: Path, certificate: Certificate) -> None:
    """Make a self-signed authority that is valid for a day."""
    openssl(directory, 'req', '-x509', *NEW_KEY, '-days', '1', '-subj', '/CN=faye_websocket test authority',
            '-addext', 'keyUsage = critical, keyCertSign, cRLSign', '-keyout', 'ca.key', '-out', certificate.authority)


def sign_server(directory: Path, certificate: Certificate) -> None:
    """Make a key and a certificate for localhost and 127.0.0.1, signed by the
    authority.
    """
    (directory / 'extensions').write_text(EXTENSIONS)
    openssl(directory, 'req', *NEW_KEY, '-subj', '/CN=localhost', '-keyout', certificate.keyfile, '-out', 'request')
    openssl(directory, 'x509', '-req', '-in', 'request', '-CA', certificate.authority, '-CAkey', 'ca.key',
            '-CAcreateserial', '-days', '1', '-sha256', '-extfile', 'extensions', '-out', certificate.certfile)


def openssl(directory: Path, *arguments: str) -> None:
    """Run one openssl command in ``directory``."""
    program = require_program('openssl', 'apt-get install openssl')
    subprocess.run([program, *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


#: Certificates that a client must refuse, each for one reason.
WRONG = ('expired', 'self-signed', 'wrong host', 'unknown authority')


@cache
def wrong_certificate(kind: str) -> Certificate:
    """Return one of WRONG, to be checked against the authority of this test run."""
    certificate = session_certificate()
    directory = Path(mkdtemp(prefix='wrong-', dir=Path(certificate.authority).parent))
    if kind == 'unknown authority':
        own = make_certificate(directory)
        return Certificate(certificate.authority, own.certfile, own.keyfile)
    if kind == 'self-signed':
        keyfile, certfile = str(directory / 'server.key'), str(directory / 'server.pem')
        openssl(directory, 'req', '-x509', *NEW_KEY, '-days', '1', '-subj', '/CN=localhost', '-keyout', keyfile,
                '-out', certfile, '-addext', 'subjectAltName = DNS:localhost, IP:127.0.0.1')
        return Certificate(certificate.authority, certfile, keyfile)
    if kind == 'expired':
        # It ends when it begins; OpenSSL 3.5 makes none that ends before.
        return sign_another(directory, EXTENSIONS, '-days', '0')
    return sign_another(directory, EXTENSIONS.replace('DNS:localhost, IP:127.0.0.1', 'DNS:example.com'), '-days', '1')


@cache
def client_certificate() -> Certificate:
    """Return a certificate for a client, signed by the authority of this test run."""
    directory = Path(mkdtemp(prefix='client-', dir=Path(session_certificate().authority).parent))
    return sign_another(directory, EXTENSIONS.replace('serverAuth', 'clientAuth'), '-days', '1')


def sign_another(directory: Path, extensions: str, *validity: str) -> Certificate:
    """Return a key and a certificate, signed by the authority of this test run."""
    authority = Path(session_certificate().authority)
    (directory / 'extensions').write_text(extensions)
    openssl(directory, 'req', *NEW_KEY, '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'request')
    openssl(directory, 'x509', '-req', '-in', 'request', '-CA', str(authority), '-CAkey', str(authority.parent / 'ca.key'),
            '-CAcreateserial', *validity, '-sha256', '-extfile', 'extensions', '-out', 'server.pem')
    return Certificate(str(authority), str(directory / 'server.pem'), str(directory / 'server.key'))
