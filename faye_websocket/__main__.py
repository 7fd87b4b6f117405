"""The command line: ``faye-websocket serve`` and ``faye-websocket connect``.

``python -m faye_websocket`` runs it, too. The commands are in ``cli``.
"""

from __future__ import annotations

import argparse
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import gevent
import gevent.event
from gevent import socket, ssl
from gevent.baseserver import parse_address
from gevent.pywsgi import WSGIServer

from .cli import UsageError
from .cli import connect as terminal
from .cli.version import describe_versions

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return the exit status of the process."""
    parser = argparse.ArgumentParser(prog='faye-websocket', description='WebSockets on gevent.')
    parser.add_argument('--version', action='version', version=describe_versions())
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    serve_parser = commands.add_parser('serve', help='serve a WSGI application under gevent.pywsgi')
    serve_parser.add_argument(
        'app', metavar='MODULE:APP', help='the application to serve, such as examples.app:app'
    )
    serve_parser.add_argument(
        '--bind',
        default='127.0.0.1:9292',
        metavar='HOST:PORT',
        help='listen here, or at unix:PATH; default %(default)s',
    )
    serve_parser.add_argument('--certfile', metavar='FILE', help='serve TLS with this certificate')
    serve_parser.add_argument(
        '--keyfile', metavar='FILE', help='the private key of the certificate'
    )
    serve_parser.set_defaults(run=_serve)
    connect_parser = commands.add_parser(
        'connect', help='talk to a server from the terminal, or in a pipe'
    )
    terminal.add_arguments(connect_parser)
    connect_parser.set_defaults(run=terminal.connect)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        parser.error(str(error))


def _serve(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM.

    All open sockets close with 1001 when the process exits.
    """
    app = _import_app(options.app)
    tls = _tls(options.certfile, options.keyfile)
    try:
        server = WSGIServer(_listener(options.bind), app, log=sys.stdout, **tls)
        server.start()
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(f'cannot serve on {options.bind}: {error}') from error
    stopping = gevent.event.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, stopping.set)
    print(
        f'Listening on {_address(server, options)}\n{describe_versions()}',
        file=sys.stderr,
        flush=True,
    )
    try:
        stopping.wait()
    finally:
        server.stop(timeout=1)
    return 0


def _tls(certfile: str | None, keyfile: str | None) -> dict[str, Any]:
    """Return the options by which WSGIServer serves TLS; none without a certificate."""
    if certfile is None and keyfile is None:
        return {}
    if certfile is None:
        raise UsageError('--keyfile needs --certfile')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile)
    except OSError as error:
        raise UsageError(f'cannot use the certificate {certfile}: {error}') from error
    return {'ssl_context': context}


def _import_app(path: str) -> Callable[..., Any]:
    """Return the WSGI application at ``MODULE:APP``.

    The current directory is searched first.
    """
    module_name, _, name = path.partition(':')
    sys.path.insert(0, os.getcwd())
    try:
        app = getattr(import_module(module_name), name or 'app')
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f'cannot import {path}: {error}') from error
    if not callable(app):
        raise UsageError(f'{path} is not a WSGI application')
    return app  # type: ignore[no-any-return]


def _listener(bind: str) -> Any:
    """Return the socket on which WSGIServer listens."""
    if bind.startswith('unix:'):
        family, address = socket.AF_UNIX, bind.removeprefix('unix:')
        # Remove the socket of a server that has ended. Any other file stays, and bind()
        # fails.
        if os.path.exists(address) and stat.S_ISSOCK(os.stat(address).st_mode):
            os.unlink(address)
    else:
        family, address = parse_address(bind)
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


def _address(server: WSGIServer, options: argparse.Namespace) -> str:
    """Return the address at which the server can be reached."""
    if options.bind.startswith('unix:'):
        return str(options.bind)
    host = f'[{server.server_host}]' if ':' in server.server_host else server.server_host
    return f'{"https" if options.certfile else "http"}://{host}:{server.server_port}'


if __name__ == '__main__':
    sys.exit(main())
