"""PEM: files of certificates and keys, whose faults name the file and the reason.

OpenSSL's own errors name no file, and "PEM lib" for whatever is missing in one.
"""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ['load_authorities', 'load_certificate']


def load_authorities(context: ssl.SSLContext, file: Any) -> None:
    """Trust the certificates in ``file``. Raises OSError."""
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise _unreadable(file) or _without('certificate', file, error) from None


def load_certificate(context: ssl.SSLContext, cert_file: Any, key_file: Any = None) -> None:
    """Use a certificate, and its key if that is apart from it. Raises OSError."""
    try:
        context.load_cert_chain(cert_file, key_file)
    except OSError as error:
        keys = cert_file if key_file is None else key_file
        raise _unreadable(cert_file) or _unreadable(keys) or _find(error, cert_file, keys) from None


def _find(error: OSError, cert_file: Any, key_file: Any) -> OSError:
    """Return the error of two files that can be read."""
    if getattr(error, 'reason', None) == 'KEY_VALUES_MISMATCH':
        text = f'the private key of {key_file!r} is not that of {cert_file!r}'
        return ssl.SSLError(error.errno, text)
    if not _has_certificate(cert_file):
        return _without('certificate', cert_file, error)
    return _without('private key', key_file, error)


def _has_certificate(file: Any) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError:
        return False
    return True


def _unreadable(file: Any) -> OSError | None:
    """Return the error of a file that cannot be opened, which names it, or None."""
    try:
        with open(file, 'rb'):
            return None
    except OSError as error:
        return error


def _without(what: str, file: Any, error: OSError) -> OSError:
    text = f'no {what} in PEM format can be read from {file!r}: {error.strerror}'
    return ssl.SSLError(error.errno, text)
