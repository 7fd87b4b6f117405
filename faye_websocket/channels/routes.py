"""Routes: from a URL and a command to the Redis server that executes it.

A URL is that of one server, of the Sentinels that know which server is the master, or
of some nodes of a cluster, which know all others.
"""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.crc import key_slot
    from redis.retry import Retry
except ImportError as error:
    raise ImportError(
        'channels on Redis need redis-py: pip install "faye-websocket[redis]"'
    ) from error

__all__ = ['FAULTS', 'Address', 'Route', 'find_route', 'is_moved']

Address = tuple[str, int]

#: Exceptions while Redis is unavailable, is starting, or fails over to a replica.
FAULTS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    OSError,
)
# Errors of a cluster, and their codes, which some versions leave in the text.
_CLUSTER_ERRORS = (
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
)
_CLUSTER_CODES = ('MOVED ', 'ASK ', 'TRYAGAIN ', 'CLUSTERDOWN ')
# Seconds that connecting, and one reply, may take.
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT = 3.0, 5.0
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379


class Route:
    """The route to one server."""

    def __init__(self, url: str) -> None:
        pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            decode_responses=False,
            socket_timeout=_ANSWER_TIMEOUT,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._class = pool.connection_class
        self._options = pool.connection_kwargs
        try:
            # Does not connect.
            self._class(**self._options)
        except TypeError as error:
            raise ValueError(f'url: {error}') from error

    def find(self, command: tuple[Any, ...]) -> Address | None:
        """Return the address of the server for a command, or None for the only one."""
        return None

    def open(self, address: Address | None) -> Any:
        """Return a new connection to a server; None is any server that has messages."""
        return self._class(**self._options)

    def check(self, connection: Any) -> None:
        """Raise if a server to which the connection is established is a wrong one."""

    def forget(self) -> None:
        """Find the servers again, because one has failed or moved."""

    def moved(self) -> None:
        """Find the servers again, because another one has a key, or will have it."""
        raise ValueError('url: this Redis is part of a cluster: expected redis+cluster://')

    def _ask(self, address: Address, *command: str, **options: Any) -> Any:
        """Return the reply of a server to one command, on a connection of its own."""
        host, port = address
        connection = self._class(**{**self._options, **options, 'host': host, 'port': port})
        try:
            connection.connect()
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()

    def _ask_any(
        self, addresses: list[Address], *command: str, **options: Any
    ) -> tuple[Address, Any]:
        """Return the first reply that is not empty, and the address that it is from."""
        errors = []
        for address in addresses:
            try:
                found = self._ask(address, *command, **options)
                if found:
                    return address, found
            except FAULTS as error:
                errors.append(str(error))
        raise redis.ConnectionError(f'{" ".join(command)}: {", ".join(errors) or "no reply"}')


class SentinelRoute(Route):
    """The route to the server that is the master according to Sentinels."""

    def __init__(self, url: str) -> None:
        parts = _Parts(url, _SENTINEL_PORT)
        self._service, _, db = parts.path.partition('/')
        if not self._service:
            raise ValueError('url: expected the name of a master after the Sentinels')
        super().__init__(f'{parts.scheme}://{parts.login}localhost/{db}?{parts.query}')
        self._sentinels = parts.addresses
        self._login = {'db': 0, **parts.sentinel_login}

    def open(self, address: Address | None) -> Any:
        """Return a new connection to the present master."""
        host, port = self._find_master()
        return self._class(**{**self._options, 'host': host, 'port': port})

    def _find_master(self) -> Address:
        ask = 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', self._service
        sentinel, found = self._ask_any(self._sentinels, *ask, **self._login)
        # The next connection begins with a Sentinel that replies.
        self._sentinels = list(dict.fromkeys([sentinel, *self._sentinels]))
        return found[0].decode(), int(found[1])

    def check(self, connection: Any) -> None:
        """Raise if the server is not the master, as Sentinels may be late to know."""
        connection.send_command('ROLE')
        if connection.read_response()[0] != b'master':
            raise redis.ConnectionError(f'the server is not the master of {self._service}')


class ClusterRoute(Route):
    """The routes to the nodes of a cluster: each has the keys of some hash slots.

    A message is published to the subscribers at all nodes.
    """

    def __init__(self, url: str) -> None:
        parts = _Parts(url, _REDIS_PORT)
        super().__init__(f'{parts.scheme}://{parts.login}localhost/{parts.path}?{parts.query}')
        self._seeds = parts.addresses
        # The first and the last slot of each range, and the address of its master.
        self._ranges: list[tuple[int, int, Address]] = []

    def find(self, command: tuple[Any, ...]) -> Address | None:
        """Return the address of the master that has the key of a command."""
        key = command[3] if command[0].startswith('EVAL') else command[1]
        slot = key_slot(key.encode())
        for first, last, address in self._ranges or self._learn():
            if first <= slot <= last:
                return address
        self.forget()
        raise redis.ConnectionError(f'no node of the cluster has the slot {slot}')

    def open(self, address: Address | None) -> Any:
        """Return a new connection to a node, or to any one."""
        if address is None:
            address = random.choice([address for _, _, address in self._ranges or self._learn()])
        host, port = address
        return self._class(**{**self._options, 'host': host, 'port': port})

    def forget(self) -> None:
        """Ask again which node has which slots."""
        self._ranges = []

    def moved(self) -> None:
        """Ask again which node has which slots."""
        self.forget()

    def _learn(self) -> list[tuple[int, int, Address]]:
        seed, found = self._ask_any(self._seeds, 'CLUSTER', 'SLOTS')
        # A node that does not know its own address leaves it out.
        self._ranges = [
            (first, last, ((node[0] or b'').decode() or seed[0], int(node[1])))
            for first, last, node, *_ in found
        ]
        # Nodes may have been replaced since the URL was written.
        known = [address for _, _, address in self._ranges]
        self._seeds = list(dict.fromkeys([seed, *known, *self._seeds]))
        return self._ranges


class _Parts:
    """The parts of a URL with several addresses."""

    def __init__(self, url: str, port: int) -> None:
        scheme, _, rest = url.partition('://')
        self.scheme = scheme.partition('+')[0]
        rest, _, query = rest.partition('?')
        network, _, self.path = rest.partition('/')
        login, at, hosts = network.rpartition('@')
        self.login = login + at
        self.addresses = [_address(host, port) for host in hosts.split(',')]
        options = dict(parse_qsl(query))
        self.sentinel_login = {
            name: options.pop(f'sentinel_{name}', None) for name in ('username', 'password')
        }
        self.query = urlencode(options)


def _address(host: str, port: int) -> Address:
    parts = urlsplit(f'//{host}')
    if not parts.hostname:
        raise ValueError(f'url: expected hosts separated by commas, got {host!r:.80}')
    return parts.hostname, parts.port or port


def is_moved(error: redis.ResponseError) -> bool:
    """Return whether a node of a cluster does not have the key of a command now."""
    return isinstance(error, _CLUSTER_ERRORS) or str(error).startswith(_CLUSTER_CODES)


def find_route(url: str) -> Route:
    """Return the route of a URL. Raise ValueError if it is invalid."""
    kind = url.partition(':')[0].partition('+')[2]
    return {'sentinel': SentinelRoute, 'cluster': ClusterRoute}.get(kind, Route)(url)
