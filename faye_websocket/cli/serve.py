"""The command ``faye-websocket serve``, which serves a WSGI application.

It monkey-patches before it imports the application, as gunicorn's gevent worker does.
SIGINT and SIGTERM end it with the exit status 0: sockets that are open then close with
1001. A second signal does not wait for them.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey, ssl
from gevent.event import AsyncResult

from ..driver.codes import CloseCode
from ..io.pem import load_certificate
from ..io.shutdown import close_all
from . import UsageError
from .application import (
    Application,
    describe_fault,
    import_application,
    make_substitute,
    with_debugger,
)
from .listener import describe_address, make_listener
from .reload import STOP_SIGNALS, Successor, Watcher, files_of, take_listener
from .server import Server
from .version import describe_versions

__all__ = ['add_arguments', 'serve']

_LEVELS = ('debug', 'info', 'warning', 'error', 'critical')
_LOG_FORMAT = '[%(asctime)s] %(levelname)s %(name)s: %(message)s'
# How many seconds sockets, and requests in a pool, may take to end.
_GRACE = 1
# The largest backlog: an int of C.
_MOST = 2**31 - 1
_DIGITS = len(str(_MOST))
# How many seconds pass until a signal is noticed at the latest.
_LOOK = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'app',
        metavar='MODULE:APP',
        help='the application, such as examples.app:app, or MODULE:FACTORY() to call a function'
        ' that returns it; the current directory is searched first; APP is "app" by default',
    )
    parser.add_argument(
        '--bind',
        default='127.0.0.1:9292',
        metavar='ADDRESS',
        help='listen at HOST:PORT, at PORT of 127.0.0.1, or at unix:PATH (default: %(default)s)',
    )
    parser.add_argument(
        '--backlog',
        type=_parse_backlog,
        default=2048,
        metavar='CONNECTIONS',
        help='how many connections may wait to be accepted (default: %(default)s)',
    )
    parser.add_argument('--certfile', metavar='FILE', help='serve TLS with this certificate')
    parser.add_argument(
        '--keyfile', metavar='FILE', help='the private key of the certificate, if apart from it'
    )
    parser.add_argument(
        '--no-patch',
        dest='patch',
        action='store_false',
        help='do not monkey-patch the standard library before the import of the application',
    )
    parser.add_argument(
        '--reload',
        action='store_true',
        help='restart when a file that is imported changes; sockets close with 1012 first',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help="show faults in Werkzeug's debugger, if that is installed; sets FLASK_DEBUG, and"
        ' the log level to debug',
    )
    parser.add_argument(
        '--log-level',
        choices=_LEVELS,
        help='log to standard error from this level on (default: info, with --debug: debug)',
    )
    parser.add_argument(
        '--no-access-log',
        dest='access_log',
        action='store_false',
        help='do not log requests, which go to standard output by default',
    )


def _parse_backlog(text: str) -> int:
    """Return the number. Raise ArgumentTypeError if listen() does not take it."""
    # Python converts no text of thousands of digits.
    if not text.isdecimal() or len(text) > _DIGITS or not 0 < int(text) <= _MOST:
        raise argparse.ArgumentTypeError(
            f'expected a whole number from 1 to {_MOST}, got {text!r:.80}'
        )
    return int(text)


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal arrives, and return the exit status.

    All open sockets close with 1001 when the process exits. Raise UsageError if an
    argument is not valid.
    """
    began, successor = time.time(), Successor()
    _handle_signals(_stop)
    inherited = take_listener()
    _prepare(options)
    app, error = _load(options.app)
    if error is not None:
        _report(error, is_fatal=not options.reload, is_start=inherited is None)
    _set_up_logging(options)
    ending = _end_at_signals()
    server = _make_server(options, app, inherited)
    if options.reload:
        suspects = None if error is None else files_of(error)
        gevent.spawn(Watcher(began, suspects).wait).link(ending)
    while not ending.ready():
        # A signal that arrives as the loop falls asleep does not wake it: 1 in 20,000.
        ending.wait(_LOOK)
    changed = ending.get()
    if changed is not None:
        _handle_signals(_stop)
        _tell(f'{changed} has changed: restarting')
        server.stop_accepting()
        close_all(CloseCode.SERVICE_RESTART, timeout=_GRACE)
        successor.start(server.socket)
    server.stop(timeout=_GRACE)
    return 0


def _prepare(options: argparse.Namespace) -> None:
    """Do what must be done before the import of the application."""
    if options.patch:
        monkey.patch_all()
    if options.debug:
        # Otherwise Flask would respond to faults itself.
        os.environ.setdefault('FLASK_DEBUG', '1')
    sys.path.insert(0, os.getcwd())


class _Stopped(SystemExit):
    """A signal has arrived."""


def _stop() -> None:
    raise _Stopped(0)


def _load(path: str) -> tuple[Application, BaseException | None]:
    """Return the application, or a substitute and the error why there is none."""
    try:
        return import_application(path), None
    except _Stopped:
        raise
    except (Exception, SystemExit) as error:
        return make_substitute(error), error


def _report(error: BaseException, is_fatal: bool, is_start: bool) -> None:
    """Print why there is no application, and end the process if that is fatal.

    A name that is wrong from the start will not become right by a change of a file, and
    an application that exits then means to.
    """
    if isinstance(error, (UsageError, SystemExit)) and (is_fatal or is_start):
        raise error
    _tell(describe_fault(error))
    if is_fatal:
        sys.exit(1)
    _tell('The application cannot be imported: waiting for a change')


def _set_up_logging(options: argparse.Namespace) -> None:
    """Set the level, and a handler if the application has set none."""
    level = (options.log_level or ('debug' if options.debug else 'info')).upper()
    logging.basicConfig(format=_LOG_FORMAT, level=level)
    logging.getLogger('faye_websocket').setLevel(level)


def _make_server(options: argparse.Namespace, app: Application, inherited: Any) -> Server:
    """Return the server, which has started. Raise UsageError if it cannot."""
    tls = _tls(options.certfile, options.keyfile)
    if options.debug:
        app, line = with_debugger(app)
        _tell(line)
    try:
        listener = inherited or make_listener(options.bind, options.backlog)
        server = Server(listener, app, log=sys.stdout if options.access_log else None, **tls)
        server.start()
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(f'cannot serve on {options.bind}: {error}') from error
    _tell(f'Listening on {describe_address(listener, bool(tls))}\n{describe_versions()}')
    return server


def _end_at_signals() -> AsyncResult:
    """Return what is set at the first signal. A second one ends the process at once."""
    ending = AsyncResult()

    def stop() -> None:
        if ending.ready():
            os._exit(1)
        ending.set(None)

    _handle_signals(stop)
    return ending


def _handle_signals(action: Callable[[], object]) -> None:
    """Call ``action`` when this process shall end."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: action())


def _tls(certfile: str | None, keyfile: str | None) -> dict[str, Any]:
    """Return the options by which WSGIServer serves TLS; none without a certificate."""
    if certfile is None and keyfile is None:
        return {}
    if certfile is None:
        raise UsageError('--keyfile needs --certfile')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        load_certificate(context, certfile, keyfile)
    except OSError as error:
        raise UsageError(f'cannot serve TLS: {error}') from error
    return {'ssl_context': context}


def _tell(text: str) -> None:
    # In one piece, for a signal may come between two.
    sys.stderr.write(f'{text.rstrip()}\n')
    sys.stderr.flush()
