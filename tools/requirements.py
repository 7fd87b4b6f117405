"""Requirements and the tests that prove them: ``python -m tools.requirements``.

It fails if a requirement has no test, or if a test names an unknown requirement. A
test, or a class of tests, names the requirements that it proves by
``@pytest.mark.proves('S1', 'S2')``; so does a module, by ``pytestmark``, and a single
parameter, by its ``marks``. The figures of the P ids need a machine without other load,
and are measured by BENCHMARKS; the tests that name a P id keep it from getting worse by
a power.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

REQUIREMENTS = {
    'H1': 'after any ending no byte follows our last frame, and no frame is read as HTTP',
    'H2': 'no ending leaves a traceback, an error line or a wrong status in a log',
    'H3': 'the access log has one line with 101 for each socket',
    'H4': 'what comes in one segment with the handshake arrives',
    'H5': 'the 101 has neither Content-Length nor Transfer-Encoding',
    'H6': 'a server that cannot be served gets an error that names the fix',
    'H7': 'many messages in one TLS write are all delivered at once',
    'H8': 'Unix sockets work',
    'H9': 'after thousands of connections nothing is left of them',
    'H10': 'a server that stops gracefully says 1001 to everybody, and is gone',
    'H11': 'importing the library patches nothing, and may be done before a fork',
    'L1': 'a silent peer is given up after a ping and its timeout',
    'L2': 'onclose fires exactly once, however it ends',
    'L3': 'close() ends within close_timeout, also with a full buffer',
    'L4': 'the close codes that RFC 6455 wants, each way',
    'L5': 'CloseEvent.reason says why, when we ended it',
    'L6': 'send after close answers False',
    'L7': 'pongs and close frames overtake data that waits',
    'L8': 'handlers that are set late miss nothing',
    'B1': 'send never blocks by default, and keeps the order',
    'B2': 'buffered_amount is true, and drain fires',
    'B3': 'one stalled reader among many is closed with 1013 and harms nobody',
    'B4': 'a slow handler stops the reading',
    'B5': 'a burst leaves in few system calls, a lone message at once',
    'D1': 'inflation is bounded while it happens',
    'D2': 'no offer or answer raises, and an answer never exceeds the offer',
    'D3': "browsers' bare offer is accepted, and no empty header is sent",
    'D4': "zlib's objects are made late and let go early",
    'D1a': 'a message of max_length passes although it is longer when compressed',
    'D5': 'short messages go uncompressed, compressed ones in one frame',
    'C1': 'greenlets and OS threads may send at once',
    'C2': "a handler's exception is logged once, closes with 1011 and harms nobody else",
    'C3': 'a handler that sleeps delays neither pongs nor close',
    'S1': 'origins are checked by one argument, and refused with 403',
    'S2': 'a refusal is a complete response that ends the connection',
    'S3': 'bad handshakes get 400, unknown versions 426',
    'S4': 'sizes are checked before anything is kept',
    'S5': 'what no peer may send closes with 1002 or 1007',
    'S6': 'hostile headers are read in linear time',
    'S7': 'what an application passes cannot break out of its line',
    'S8': 'a ping flood keeps one pong waiting',
    'S9': 'every part of a handshake is bounded in time and size',
    'S10': "keys come from the system's random source",
    'K1': 'what follows the 101 arrives',
    'K2': 'a failed handshake shows what the server said, and which stage failed',
    'K3': 'one timeout covers all of connecting, and every address is tried',
    'K4': 'Host, user and target are made of the URL as they should',
    'K5': 'proxies by CONNECT, with credentials, over http and https',
    'K6': "the handshake's own headers cannot be set, all others can",
    'K7': 'bad certificates fail with the reason',
    'K8': 'nothing keeps the process alive, and nobody reconnects unasked',
    'K9': 'interim responses, folded lines and empty list elements are understood',
    'K10': 'another address is tried after 250 ms, and none is left open',
    'K11': 'what no authority can be is refused; SNI and Location as they should be',
    'K12': 'credentials, for a proxy too, stay with their origin',
    'E1': 'what is sent is what a browser reads',
    'E2': "the response's headers, and its first bytes",
    'E3': 'events come through proxies and compressing middleware at once',
    'E4': 'a client that has gone is noticed while nothing is sent',
    'E5': 'a browser reconnects and gets what it missed',
    'E6': 'is_eventsource reads Accept as it should',
    'E7': 'it works under any WSGI server',
    'F1': 'Flask and Django: routes, sessions, cookies',
    'F2': 'many sockets leave a small database pool free',
    'F3': 'a socket is tested in memory in five lines',
    'F4': 'types that users can check against',
    'F5': "under Werkzeug's server it works, or says why not",
    'O1': 'a forked child leaves the connections of its parent alone, whatever it runs',
    'O2': 'a peer sees the end although a forked child has a copy of the socket',
    'O4': 'the log has the life of every connection, and nothing secret or forged',
    'O5': "another library's handler that was left in place gets an error that names it",
    'O6': 'nothing of connections that are gone is kept',
    'O7': 'what waits for a handler is bounded in bytes, and who asks for nothing stays alive',
    'V2': '`faye-websocket serve` is patched, reloads, makes applications, and shows faults whole',
    'P1': 'small echoes, one in flight: at least picows, 0.85 of C',
    'P2': 'small echoes, 16 in flight: six times the best peer',
    'P3': 'large echoes: at least the best peer',
    'P4': 'an idle connection takes under 2 KiB',
    'P5': 'cost is linear',
    'P6': '10,000 idle sockets with pings take under 5 % of a core',
    'P7': 'broadcast: three times a loop of sends',
    'P8': 'handshakes per second: at least gevent-websocket',
    'P9': 'unmasking in pure Python: at most 5 ms for a MiB',
    'G1': 'what is sent in a with block arrives before the program ends',
    'G2': 'a client that cannot connect raises, with the stage and the reason',
    'G3': 'no loop around receive keeps other greenlets from running',
    'G4': 'a view that raises once the handshake is made closes with 1011',
    'G5': 'in greenlet style a socket takes no place of a request, hears of a stop, and may end its work',
    'G6': 'Timeout and GreenletExit close with 1011',
    'O3': 'close_all in a handler returns, and later handshakes are accepted',
    'M1': 'programs of other libraries run once their import lines are changed',
    'M2': 'SocketMiddleware has patterns, arguments of the URL, and options for each path',
    'Y1': "the cases of the Ruby libraries' specs",
    'Y2': 'names that a Rubyist would type',
    'V3': 'handlers have the context of their view, and leave no database connection behind',
    'V4': 'headers that middleware adds are on the 101 and on refusals',
    'X1': 'four workers behind a proxy with Redis between them: a message reaches all',
    'R1': 'whoever has joined a channel gets every message, once, in the order of all',
    'R2': 'what was missed since an id comes first, at the pace of the reader',
    'R3': 'messages that are gone are told, once for each gap, before what is kept',
    'R4': 'a publication gives one message, however often it is tried, and one for each key',
    'R5': 'a callback is called with each message, one after the other',
    'R6': 'channels work from any thread, without sockets, patched or not, and after a fork',
    'R7': 'members are those of all processes, and go with a process within ten seconds',
    'R8': 'a message is encoded once for each process',
    'R9': 'what is no name, no message or no id of ours is refused, or counts as lost',
    'R10': 'keys in Redis are bounded, expire, and have a prefix',
    'R11': 'a process has one subscription, and gets each message once',
    'R12': 'while Redis cannot be reached calls wait for their time, and nothing is lost',
    'R13': 'behind four workers no fault loses, repeats or disorders a message',
    'R14': 'a feed is resumed by its ids, and tells what was committed',
    'R15': 'Redis may be reached by TLS, by Sentinels, and as a cluster',
    'R16': 'a join takes less than a millisecond, and a joined socket less than 200 bytes',
    'V1': 'servers with threads, made for development, serve sockets, patched or not',
    'V5': 'metrics of several workers at one URL: the sums are right, also when one has died',
}

#: The commands that measure the P ids, in ``benchmarks``.
BENCHMARKS = {
    'P1': 'run.py --scenarios 64x1x125',
    'P2': 'run.py --scenarios 64x16x125',
    'P3': 'run.py --scenarios 64x1x64K:binary,4x1x1M:binary',
    'P4': 'memory.py --deflate',
    'P5': 'linearity.py',
    'P6': 'idle_cpu.py --connections 10000 --ping 30',
    'P7': 'broadcast.py --scenarios broadcast:1000x1K',
    'P8': 'run.py --scenarios handshakes:64',
}

Proofs = dict[str, list[str]]

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def proofs_in(source: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield each id that a file names, with the test, class or file that it marks."""
    return _proofs_below(ast.parse(source), path)


def _proofs_below(tree: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    # The decorators of a definition are nodes below it, as its body is.
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == 'pytest.mark.proves':
            yield from ((id, place) for id in _ids_of(node))
        named = f'{place}::{node.name}' if isinstance(node, _DEFINITIONS) else place
        yield from _proofs_below(node, named)


def _ids_of(mark: ast.Call) -> list[str]:
    return [ast.literal_eval(argument) for argument in mark.args]


def collect(root: Path = ROOT) -> Proofs:
    """Return the tests that name each id, and the command that measures it."""
    proofs: Proofs = {}
    for path in sorted((root / 'tests').rglob('*.py')):
        for id, place in proofs_in(path.read_text(), str(path.relative_to(root))):
            if place not in (places := proofs.setdefault(id, [])):
                places.append(place)
    for id, command in BENCHMARKS.items():
        if (root / 'benchmarks' / command.split()[0]).exists():
            proofs.setdefault(id, []).append(f'python benchmarks/{command}')
    return proofs


def problems(proofs: Proofs, requirements: Iterable[str] = REQUIREMENTS) -> list[str]:
    """Return the requirements without a proof, and the ids that are unknown."""
    return [f'{id}: no test' for id in requirements if not proofs.get(id)] + [
        f'{id}: there is no such requirement: {", ".join(proofs[id])}'
        for id in proofs
        if id not in requirements
    ]


def table(proofs: Proofs) -> Iterator[str]:
    """Yield the lines of the table."""
    for id, text in REQUIREMENTS.items():
        yield f'{id:<4} {text}'
        yield from (f'       {place}' for place in proofs.get(id, ()))


def main() -> int:
    """Print the table and the problems, and return the exit status."""
    proofs = collect()
    print(*table(proofs), sep='\n')
    found = problems(proofs)
    print(*found, sep='\n', file=sys.stderr)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
