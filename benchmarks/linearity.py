"""The growth of the cost with the number of bytes: time per byte in the driver, as a
table.

A server's driver is fed masked binary messages of 1 KiB to 64 MiB, in reads of 64
bytes, 1 KiB and 64 KiB, and messages of 1 to 16,384 fragments of 64 bytes each, with
both codecs. There is no socket: the processor time of the parsing is measured. In a
row, the time should not depend on the size. A small read takes more time per byte than
a large one, because each read is a call.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from peers import PEERS
from scenarios import UNITS
from tables import table

SIZES = ('1K', '16K', '256K', '1M', '4M', '16M', '64M')
READS = ('64', '1K', '64K')
FRAGMENTS = (1, 16, 256, 4096, 16384)
FRAGMENT = 64

# The least time of a measurement. It is repeated so long; the fastest one counts.
SECONDS = 0.2
KEY = bytes.fromhex('37fa213d')
ENVIRON = {
    'REQUEST_METHOD': 'GET',
    'SERVER_PROTOCOL': 'HTTP/1.1',
    'PATH_INFO': '/',
    'HTTP_HOST': 'localhost',
    'HTTP_CONNECTION': 'Upgrade',
    'HTTP_UPGRADE': 'websocket',
    'HTTP_SEC_WEBSOCKET_KEY': 'dGhlIHNhbXBsZSBub25jZQ==',
    'HTTP_SEC_WEBSOCKET_VERSION': '13',
}


def parse_size(text: str) -> int:
    """Read a size such as 64, 16K or 1M."""
    unit = text[-1] if text[-1] in UNITS else ''
    return int(text.removesuffix(unit)) * UNITS[unit]


class IO:
    """The output of the driver."""

    environ = ENVIRON

    def write(self, data: bytes) -> None:
        """Discard the handshake."""


def masked_message(size: int, fragments: int) -> bytes:
    """Return the frames of a binary message."""
    from faye_websocket.driver.codec import serialize_frame

    payload = bytes(range(256)) * (size // 256 + 1)
    step = size // fragments
    return b''.join(
        bytes(serialize_frame(0x2 if part == 0 else 0x0, payload[part * step:(part + 1) * step], fin=part == fragments - 1,
                              masking_key=KEY))
        for part in range(fragments)
    )


def nanoseconds_a_byte(size: int, read: int, fragments: int = 1) -> float:
    """Return the time per byte of a message, the least of several runs."""
    from faye_websocket import driver

    wire = masked_message(size, fragments)
    chunks = [wire[at:at + read] for at in range(0, len(wire), read)]
    arrived: list[Any] = []
    server = driver.wsgi(IO(), max_length=2 * size)
    server.on('message', arrived.append)
    server.start()
    fastest, until = float('inf'), time.process_time() + SECONDS
    while time.process_time() < until or fastest == float('inf'):
        began = time.process_time()
        for chunk in chunks:
            server.parse(chunk)
        fastest = min(fastest, time.process_time() - began)
        assert len(arrived.pop()) == size, 'the message did not arrive'
    return fastest / size * 1e9


def measure(largest: int) -> dict[str, Any]:
    """Measure all of it with the codec of this process."""
    from faye_websocket.driver.accel import IS_COMPILED

    sizes = [size for size in SIZES if parse_size(size) <= largest]
    return {
        'codec': 'compiled' if IS_COMPILED else 'pure',
        'sizes': {read: {size: nanoseconds_a_byte(parse_size(size), parse_size(read)) for size in sizes} for read in READS},
        'fragments': {str(count): nanoseconds_a_byte(FRAGMENT * count, 2**16, count) for count in FRAGMENTS},
    }


def measure_apart(largest: str, peer: str) -> dict[str, Any]:
    """Measure in a process of its own: which codec it has is decided at import."""
    run = subprocess.run([sys.executable, __file__, '--measure', f'--largest={largest}'], check=True, stdout=subprocess.PIPE,
                         env=PEERS[peer].environment(), text=True)
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def render(results: list[dict[str, Any]]) -> str:
    """Write both tables."""
    sizes = list(results[0]['sizes'][READS[0]])
    by_size = [['codec, bytes a read', *sizes]]
    by_count = [['codec', *(f'{int(count):,}' for count in results[0]['fragments'])]]
    for result in results:
        for read, row in result['sizes'].items():
            by_size.append([f'{result["codec"]}, {read}', *(f'{row[size]:.3f}' for size in sizes)])
        by_count.append([result['codec'], *(f'{value:.3f}' for value in result['fragments'].values())])
    return (f'ns a byte, by the size of the message\n\n{table(by_size)}\n\n'
            f'ns a byte, by the number of fragments of {FRAGMENT} bytes, 64K a read\n\n{table(by_count)}')


def main() -> int:
    """Measure with both codecs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--largest', default='64M', help='the largest message')
    parser.add_argument('--measure', action='store_true', help='measure the codec of this process, as JSON')
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(parse_size(arguments.largest))))
        return 0
    results = [measure_apart(arguments.largest, peer) for peer in ('faye-pure', 'faye')]
    if results[1]['codec'] == 'pure':
        print('there is no compiled codec here: see FAYE_WEBSOCKET_BUILD', file=sys.stderr)
        results.pop()
    print(render(results))
    return 0


if __name__ == '__main__':
    sys.exit(main())
