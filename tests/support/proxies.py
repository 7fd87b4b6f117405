"""HAProxy and nginx in front of a server, each as a process with its own configuration.
"""

from __future__ import annotations

import os
import platform
import pwd
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ROOT, Endpoint, Process, own_directory
from tests.support.programs import cache_directory, give_up, require_program
from tests.support.servers import answers

HAPROXY_CONFIGURATION = ROOT / 'examples' / 'haproxy.conf'

NGINX_CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error;
events {{ }}
http {{
    access_log {directory}/access;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""

#: The last Debian release whose HAProxy forwards hixie-76; see ``old_haproxy``.
OLD_SUITE = 'bullseye'
OLD_PACKAGES = ('haproxy', 'liblua5.3-0', 'libssl1.1')

APT_CONFIGURATION = """
Dir::Etc::sourcelist "{directory}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "{directory}/lists";
Dir::Cache "{directory}/cache";
APT::Sandbox::User "{user}";
"""


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a free TCP port that no other program gets, unless it binds with
    SO_REUSEPORT.
    """
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(('127.0.0.1', 0))
        yield reservation.getsockname()[1]


@contextmanager
def haproxy(server: Endpoint, tmp_path: Path, program: str | None = None,
            configuration: Path = HAPROXY_CONFIGURATION) -> Iterator[Endpoint]:
    """Run HAProxy in front of a server on a TCP port, with the configuration of the
    examples.
    """
    program = program or require_program('haproxy', 'apt-get install haproxy')
    directory = own_directory(tmp_path, 'haproxy')
    with reserved_port() as port:
        env = {'LISTEN_PORT': str(port), 'APP_PORT': str(server.port), **library_path(program)}
        with running(Process([program, '-db', '-f', str(configuration)], directory, env), port) as endpoint:
            yield endpoint


@contextmanager
def nginx(server: Endpoint, tmp_path: Path) -> Iterator[Endpoint]:
    """Run nginx in front of a server on a TCP port or a Unix socket."""
    program = require_program('nginx', 'apt-get install nginx')
    directory = own_directory(tmp_path, 'nginx')
    upstream = f'127.0.0.1:{server.port}' if isinstance(server.address, tuple) else f'unix:{server.address}:'
    with reserved_port() as port:
        configuration = directory / 'nginx.conf'
        configuration.write_text(NGINX_CONFIGURATION.format(directory=directory, port=port, upstream=upstream))
        command = [program, '-p', str(directory), '-c', str(configuration), '-e', str(directory / 'error')]
        with running(Process(command, directory), port) as endpoint:
            yield endpoint


@contextmanager
def running(process: Process, port: int) -> Iterator[Endpoint]:
    """Yield the endpoint of a proxy, once it responds, until the block ends."""
    endpoint = Endpoint(('127.0.0.1', port))
    try:
        process.wait_for_start(lambda: answers(endpoint))
        yield endpoint
    finally:
        if process.is_running():
            process.stop()


def old_haproxy() -> str:
    """Return the path of HAProxy 2.2, unpacked in the cache.

    apt fetches it from Debian bullseye once; it is not installed. Since 2.4, HAProxy
    itself responds with 400 to a WebSocket handshake without Sec-WebSocket-Key ("MINOR:
    h1: reject websocket handshake if missing key", haproxy#1642, works as designed), so
    that no hixie-76 request passes it.
    """
    directory = cache_directory(f'haproxy-{OLD_SUITE}')
    program = directory / 'root' / 'usr' / 'sbin' / 'haproxy'
    if not program.exists():
        fetch_packages(directory)
    return str(program)


def fetch_packages(directory: Path) -> None:
    """Download and unpack the old packages, with a separate apt configuration."""
    apt = require_program('apt-get', 'the test of hixie-76 through HAProxy needs Debian')
    (directory / 'lists' / 'partial').mkdir(parents=True, exist_ok=True)
    (directory / 'cache' / 'archives' / 'partial').mkdir(parents=True, exist_ok=True)
    (directory / 'sources.list').write_text(f'deb http://deb.debian.org/debian {OLD_SUITE} main\n')
    (directory / 'apt.conf').write_text(APT_CONFIGURATION.format(directory=directory, user=user_name()))
    try:
        run_in(directory, apt, 'update')
        run_in(directory, apt, 'download', *(f'{package}/{OLD_SUITE}' for package in OLD_PACKAGES))
        for package in directory.glob('*.deb'):
            run_in(directory, 'dpkg', '-x', str(package), 'unpacked')
    except subprocess.SubprocessError as error:
        give_up(f'cannot get HAProxy 2.2 of Debian {OLD_SUITE}: {error}')
    (directory / 'unpacked').rename(directory / 'root')


def run_in(directory: Path, *command: str) -> None:
    """Run a command in ``directory``, with the apt configuration that is there."""
    env = {**os.environ, 'APT_CONFIG': str(directory / 'apt.conf')}
    subprocess.run(command, cwd=directory, env=env, check=True, capture_output=True, timeout=300)


def user_name() -> str:
    """Return the name of this user: apt must write where only this user may."""
    return pwd.getpwuid(os.getuid()).pw_name


def library_path(program: str) -> dict[str, str]:
    """Return the variables with which an unpacked program finds its unpacked libraries.
    """
    root = Path(program).parents[2]
    if root == Path('/') or root.name != 'root':
        return {}
    return {'LD_LIBRARY_PATH': str(root / 'usr' / 'lib' / f'{platform.machine()}-linux-gnu')}
