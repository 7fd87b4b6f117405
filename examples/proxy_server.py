"""An HTTP proxy on this machine, to try a client with.

Run it with: python examples/proxy_server.py [PORT [USER:PASSWORD]]
"""

import base64
import signal
import sys

import gevent
from gevent import socket
from gevent.server import StreamServer

HANDSHAKE_SECONDS = 10
MAX_HEAD = 8192
# Connect to this machine only, so that others cannot use the proxy to reach more.
HOSTS = {'127.0.0.1', 'localhost', '[::1]'}


class Refused(Exception):
    """The request is refused with this status."""


class Proxy:
    """A proxy with the CONNECT method (RFC 9110, 9.3.6), to this machine only."""

    def __init__(self, credentials=None):
        self.authorization = (
            credentials and 'Basic ' + base64.b64encode(credentials.encode()).decode()
        )

    def __call__(self, client, address):
        try:
            with gevent.Timeout(HANDSHAKE_SECONDS):
                server, rest = self.accept(client)
            self.tunnel(client, server, rest)
        except (OSError, gevent.Timeout):
            pass

    def accept(self, client):
        """Return the connection that the client asks for, and the bytes it has sent
        already.
        """
        try:
            head, rest = self.read_head(client)
            server = self.connect(self.check(head))
        except Refused as status:
            challenge = (
                'Proxy-Authenticate: Basic realm="proxy"\r\n' if '407' in str(status) else ''
            )
            client.sendall(
                f'HTTP/1.1 {status}\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n'.encode()
            )
            raise ConnectionError from status
        client.sendall(b'HTTP/1.1 200 Connection Established\r\n\r\n')
        return server, rest

    def check(self, head):
        """Return the target of the request. Raise Refused if it is not allowed."""
        request, *lines = head.decode('latin-1').split('\r\n')
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(':') for line in lines)
        }
        method, _, target = request.rpartition(' ')[0].partition(' ')
        print(method, target, flush=True)
        if method != 'CONNECT':
            raise Refused('405 Method Not Allowed')
        if self.authorization not in (None, headers.get('proxy-authorization')):
            raise Refused('407 Proxy Authentication Required')
        return target

    def read_head(self, client):
        """Return the head of the request, and the bytes that follow it."""
        data = b''
        while b'\r\n\r\n' not in data:
            chunk = client.recv(65536)
            if not chunk:
                raise ConnectionError('no request')
            data += chunk
            if len(data) > MAX_HEAD:
                raise Refused('431 Request Header Fields Too Large')
        head, _, rest = data.partition(b'\r\n\r\n')
        return head, rest

    def connect(self, target):
        """Return a connection to the target."""
        host, _, port = target.rpartition(':')
        if host not in HOSTS or not port.isdecimal():
            raise Refused('403 Forbidden')
        try:
            return socket.create_connection((host.strip('[]'), int(port)))
        except (OSError, OverflowError) as error:
            raise Refused('502 Bad Gateway') from error

    def tunnel(self, client, server, rest):
        """Copy bytes in both directions, until both ends have finished."""
        with server:
            server.sendall(rest)
            gevent.joinall([gevent.spawn(copy, client, server), gevent.spawn(copy, server, client)])


def copy(source, target):
    """Copy all bytes until the source has finished."""
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


if __name__ == '__main__':
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    server = StreamServer(('127.0.0.1', port), Proxy(sys.argv[2] if len(sys.argv) > 2 else None))
    server.start()
    print(f'Listening on http://127.0.0.1:{server.server_port}', file=sys.stderr, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop, timeout=1)
    server.serve_forever()
