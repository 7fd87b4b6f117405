"""The command line: ``faye-websocket serve`` and ``faye-websocket connect``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import UsageError, connect, serve
from .version import describe_versions

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return the exit status of the process."""
    options, unknown = _make_parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f'unrecognized arguments: {" ".join(unknown)}')
    try:
        return int(options.run(options))
    except UsageError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='faye-websocket', description='WebSockets on gevent.')
    parser.add_argument('--version', action='version', version=describe_versions())
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    command = commands.add_parser(
        'serve',
        help='serve a WSGI application under gevent.pywsgi',
        description='Serve a WSGI application under gevent.pywsgi. SIGINT and SIGTERM end it.',
    )
    serve.add_arguments(command)
    command.set_defaults(run=serve.serve, parser=command)
    command = commands.add_parser(
        'connect',
        help='talk to a server from the terminal, or in a pipe',
        description='Send each line of standard input as a message, and print those received.',
    )
    connect.add_arguments(command)
    command.set_defaults(run=connect.connect, parser=command)
    return parser
