"""The corpus with which fuzzing begins, made from the tables of vectors.

    python -m tests.fuzz.seeds

writes it into the repository. REGRESSIONS has the inputs that once broke a rule; they
are a part of the corpus.
"""

from __future__ import annotations

import re
import shutil
import zlib

from tests.fuzz import CORPUS
from tests.support.recorder import sent, sent_close
from tests.support.requests import HYBI_HEAD
from tests.support.vectors import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    VECTORS,
    frame,
    head,
)
from tests.support.wire import HIXIE_76_BODY
from tests.unit.driver.test_client import ACCEPTED
from tests.unit.driver.test_server import HIXIE_75_HEAD, HIXIE_76_HEAD

Seeds = dict[str, dict[str, bytes]]

#: By target: a description of the fault, and the input.
REGRESSIONS: Seeds = {
    # While the compiled codec was written, it parsed this differently from the pure
    # one.
    'frames': {
        'length of 62 bits': b'\1\7\1\xff' + bytes.fromhex(
            '37fa213d07ca11ff008437fa213db738a1ff008437fa213db70ab1bd808137fa213db7'),
        'length of 63 bits': b'\1\7' + head(0x82, 2**63 - 1, size=8, masked=True) + b'abcdefgh',
    },
    'url': {
        'blank from IDNA': 'ws://ssssMB\xe9Tx\xa8Q4+xOo='.encode('latin-1'),
        'origin that is a number': b'htTps://8',
        'origin with an empty fragment': b'htTp://8#',
        'origin with text beside brackets': b'wh://[::]]*92',
    },
    'response': {'redirect to a blank': 'xxHTTP/1.1 302 Found\r\nLocation: ws://MB\xe9Tx\xa8Q4+xOo=\r\n\r\n'.encode('latin-1')},
}

_HELLO = bytes.fromhex('f2 48 cd c9 c9 07 00')
_STORED = bytes.fromhex('00 05 00 fa ff 48 65 6c 6c 6f 00')
_FINAL = bytes.fromhex('f3 48 cd c9 c9 07 00 00')


def _frames() -> dict[str, bytes]:
    # The first byte of an input says whether frames are masked, and which reserved bits
    # are legal.
    seeds = {
        vector.name: bytes(((vector.masking_key is not None) | (6 if vector.rsv else 0), 7)) + vector.wire
        for vector in VECTORS
        if len(vector.wire) < 2048
    }
    wrong = {
        'unknown opcode': frame(3, b''),
        'fragmented ping': frame(PING, b'', fin=False),
        'long ping': head(0x89, 126) + b'p' * 126,
        'length not minimal': head(0x82, 125, size=2),
        'top bit of the length': head(0x82, 2**63, size=8),
        'reserved bit': frame(TEXT, b'a', rsv=RSV1),
        'header only': head(0x82, 65536),
    }
    return seeds | {name: b'\0\1' + wire for name, wire in wrong.items()}


def _hybi() -> dict[str, bytes]:
    conversations = {
        'messages': sent(TEXT, 'é€\U0001f600'.encode()) + sent(BINARY, bytes(range(200))),
        'fragments': sent(TEXT, b'a', fin=False) + sent(PING, b'p') + sent(CONTINUATION, b'b', fin=False) + sent(CONTINUATION),
        'too many fragments': sent(BINARY, b'', fin=False) + sent(CONTINUATION, b'', fin=False) * 5,
        'too long': sent(BINARY, bytes(201)),
        'controls': sent(PING, b'p' * 125) + sent(PONG) + sent_close(1000, b'bye') + sent(TEXT, b'late'),
        'close without a code': sent(CLOSE),
        'close with half a code': sent(CLOSE, b'\3'),
        'close with a bad code': sent_close(1005),
        'broken text': sent(TEXT, b'a\xed\xa0\x80'),
        'broken reason': sent_close(1000, b'\xff'),
        'interleaved': sent(TEXT, b'a', fin=False) + sent(TEXT, b'b'),
        'nothing to continue': sent(CONTINUATION, b'a'),
        'deflated': sent(TEXT, _HELLO, rsv=RSV1) + sent(TEXT, bytes.fromhex('f2 00 11 00 00'), rsv=RSV1),
        'deflated in fragments': sent(TEXT, _HELLO[:3], fin=False, rsv=RSV1) + sent(CONTINUATION, _HELLO[3:]),
        'deflated bomb': sent(BINARY, _deflate(bytes(5000)), rsv=RSV1),
        'deflated noise': sent(BINARY, b'\xff\xff', rsv=RSV1),
    }
    seeds = {name: bytes((2 * ('deflated' in name), 3)) + wire for name, wire in conversations.items()}
    seeds['ping behind our close'] = b'\4\3' + sent(PING, b'p') + sent(TEXT, b'a') + sent_close(1000) + sent(PING)
    seeds['deflated to more'] = b'\2\7' + sent(BINARY, _stored(bytes(range(200))), rsv=RSV1)
    server = frame(TEXT, b'hi') + frame(PING, b'p') + frame(TEXT, _HELLO, rsv=RSV1) + frame(CLOSE, b'\x03\xe8bye')
    return seeds | {'from a server': b'\3\5' + server}


def _hixie() -> dict[str, bytes]:
    wires = {
        'texts': b'\0hi\xff\0\xe2\x82\xac\xff\0\xff',
        'skipped': b'\x80\x02hi\0a\xff',
        'closing': b'\0a\xff\xff\0',
        'broken text': b'\0\xff\0\xc3\xff',
        'another type': b'\1a\xff\x66Hello\xff\0b\xff',
        'long text': b'\0' + b'x' * 202,
        'long skip': b'\x80\x81\x7f' + bytes(9),
        'endless length': b'\xff' + b'\x80' * 12,
    }
    return {
        f'{version} {name}': bytes((bit, 3)) + wire for name, wire in wires.items() for bit, version in enumerate(('75', '76'))
    }


def _request() -> dict[str, bytes]:
    extended = HYBI_HEAD[:-2] + (
        b'Sec-WebSocket-Protocol: superchat, chat\r\nOrigin: https://example.com\r\n'
        b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y="z"\r\n\r\n'
    )
    requests = {
        'hybi': HYBI_HEAD + sent(TEXT, b'hi') + sent_close(1000),
        'extended': extended + sent(TEXT, _HELLO, rsv=RSV1),
        'hybi-08': HYBI_HEAD.replace(b': 13', b': 8'),
        'version 99': HYBI_HEAD.replace(b': 13', b': 99'),
        'bad key': HYBI_HEAD.replace(b'==', b'='),
        'post': HYBI_HEAD.replace(b'GET', b'POST'),
        'http 1.0': HYBI_HEAD.replace(b'/1.1', b'/1.0'),
        'absolute form': HYBI_HEAD.replace(b'/demo', b'http://example.com/a%20b?c=d'),
        'absolute form without a path': HYBI_HEAD.replace(b'/demo', b'https://[::1]:81?c=d'),
        'absolute form with a user': HYBI_HEAD.replace(b'/demo', b'ws://u@example.com/'),
        'bad host': HYBI_HEAD.replace(b'example.com', b'a/b?c#d'),
        'two hosts': HYBI_HEAD[:-2] + b'Host: h\r\n\r\n',
        'empty lines': b'\r\n\r\n' + HYBI_HEAD,
        'empty elements': extended.replace(b': superchat,', b':, ,').replace(b'"z"', b'"z",,').replace(b': 13', b': ,13,'),
        'origin of a subdomain': extended.replace(b'//example', b'//a.b.example'),
        'body': HYBI_HEAD[:-2] + b'Content-Length: 1\r\n\r\nx',
        'hixie-75': HIXIE_75_HEAD + b'\0hi\xff',
        'hixie-76': HIXIE_76_HEAD + HIXIE_76_BODY + b'\0hi\xff\xff\0',
        'hixie-76 without numbers': HIXIE_76_HEAD.replace(b'4 @1', b'@@'),
        'folded': HYBI_HEAD.replace(b'Host:', b'Host:\r\n '),
        'event stream': b'GET /?lastEventId=7 HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream;q=0.9, */*\r\n'
        b'Last-Event-ID: \xc3\xa9\r\n\r\n',
        'no request': b'HELLO\r\n\r\n',
        'no header': b'GET / HTTP/1.1\r\nHost\r\n\r\n',
    }
    return {name: b'\0\7' + text for name, text in requests.items()}


def _response() -> dict[str, bytes]:
    responses = {
        'accepted': ACCEPTED + '\r\n',
        'protocol': ACCEPTED + 'Sec-WebSocket-Protocol: chat\r\n\r\n',
        'other protocol': ACCEPTED + 'Sec-WebSocket-Protocol: other\r\n\r\n',
        'extension': ACCEPTED + 'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n',
        'other extension': ACCEPTED + 'Sec-WebSocket-Extensions: x\r\n\r\n',
        'wrong accept': ACCEPTED.replace('s3p', 'S3P') + '\r\n',
        'refused': 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
        'chunked': 'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n',
        'redirect': 'HTTP/1.1 302 Found\r\nLocation: ws://u:p@[::1]:8080/a?b\r\nContent-Length: 0\r\n\r\n',
        'http/2': 'HTTP/2 200\r\n\r\n',
        'no content': 'HTTP/1.1 204 No Content\r\n\r\n',
        'ssh': 'SSH-2.0-OpenSSH_9.6\r\n\r\n',
    }
    responses |= {
        'early hints': 'HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\n'
        + responses['accepted'],
        'continue and refuse': 'HTTP/1.1 100\r\n\r\n' * 3 + responses['refused'],
        'seventeen interim': 'HTTP/1.1 100\r\n\r\n' * 17 + responses['accepted'],
        'folded': ACCEPTED.replace(': Upgrade', ': keep-alive,\r\n\tUpgrade') + '\r\n',
        'folded first': ACCEPTED.replace('\r\n', '\r\n ', 1) + '\r\n',
        'empty elements': ACCEPTED.replace(': websocket', ': ,websocket,')
        + 'Sec-WebSocket-Extensions: ,\r\n\r\n',
        'no protocol': responses['accepted'],
    }
    return {
        name: bytes(('protocol' in name, 7)) + text.encode() + (frame(TEXT, b'hi') if name == 'accepted' else b'')
        for name, text in responses.items()
    }


def _proxy() -> dict[str, bytes]:
    lines = [
        'HTTP/1.1 200 Connection established',
        'HTTP/1.0 200',
        'HTTP/1.1 407 Proxy Authentication Required',
        'HTTP/1.1 502 Bad',
        '',
    ]
    seeds = {line or 'empty': b'\5' + f'{line}\r\nVia: x\r\n\r\nearly'.encode() for line in lines}
    seeds['continue'] = b'\5HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nVia: x,\r\n y\r\n\r\n'
    return seeds


def _extensions() -> dict[str, bytes]:
    headers = [
        'permessage-deflate',
        'permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate',
        'a; x; x=1; y; x="2"',
        'a; x="a, b; c=\\"d\\\\"',
        'a;b="";c',
        ' a , b ',
        'a,,b',
        ',',
        ', a; b ,\t, c,',
        'a;,c',
        'a; x="1',
        'a; x="\\"',
        '"a"',
    ]
    return {header: header.encode() for header in headers}


def _negotiation() -> dict[str, bytes]:
    name = 'permessage-deflate'
    headers = [
        name,
        f'{name}; client_max_window_bits',
        f'{name}; server_max_window_bits=8',
        f'{name}; server_no_context_takeover',
        f'{name}; client_no_context_takeover; client_max_window_bits=15',
        f'{name}; server_max_window_bits=7, {name}',
        f'{name}; server_max_window_bits="9"; x',
        f'{name}; client_max_window_bits=08',
        f'{name}; server_max_window_bits=9; server_max_window_bits=9',
    ]
    return {f'{options} {header}': bytes((options,)) + header.encode() for header in headers for options in (0, 21, 42)}


def _inflater() -> dict[str, bytes]:
    payloads = {
        'hello twice': [_HELLO, bytes.fromhex('f2 00 11 00 00')],
        'stored': [_STORED],
        'final': [_FINAL, _HELLO],
        'empty': [b'\0', b''],
        'bomb': [_deflate(bytes(5000))],
        'noise': [b'\xff\xff'],
        'cut off': [_HELLO[:3], _HELLO],
        'many final blocks': [b'\3\0' * 70],
    }
    seeds = {
        f'{name}, {"" if context else "no "}context': bytes((64, context))
        + b''.join(bytes((len(each),)) + each for each in messages)
        for name, messages in payloads.items()
        for context in (0, 1)
    }
    # A piece ends four bytes after the final block before each of these.
    across = b'\0\0\xff\xff\0'
    seeds['block across two pieces'] = bytes((64, 4 << 3 | 7, len(_STORED))) + _STORED
    seeds['block that begins like the tail'] = bytes((64, 4 << 3 | 7, 250)) + across + bytes(245)
    return seeds


def _stored(data: bytes) -> bytes:
    """Return one block that is not compressed, and the first byte of the next one."""
    return b'\0' + len(data).to_bytes(2, 'little') + (len(data) ^ 0xFFFF).to_bytes(2, 'little') + data + b'\0'


def _deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _url() -> dict[str, bytes]:
    urls = [
        'ws://example.com',
        'wss://u:p%40@EXAMPLE.com:8080/a%20b?c=[d]',
        'ws://[::1]:9292/',
        'ws://b\xfccher.example/\xe9',
        'ws://h/#f',
        'ws://h:65536/',
        'ws://[::1',
        'http://h/',
        'ws://',
        '/relative',
        'ws://h/a b',
        'ws://:80',
        'ws://127.0.0.1\\@localhost/',
        'ws://x[::1]@%6c.0x7f/',
        'ws://u@[2001:DB8::1.2.3.4]:/',
        'ws://fa\xdf.example./',
        'ws://b%C3%BCcher.%e2%80%8d/',
        'https://*.example.com:8443',
        'moz-extension://*',
        'https://exa mple.com',
        'http://[0:0::1]',
    ]
    return {each: each.encode('latin-1') for each in urls}


def _eventsource() -> dict[str, bytes]:
    parts = [
        ('text/event-stream', '7', 'hello'),
        ('text/event-stream;q=0.9, */*', 'lastEventId=9', 'a\r\nb\rc\n'),
        ('*/*', '', ''),
        ('text/event-stream; q=0.0', '\xc3\xa9', ' \0: data: x'),
        ('Text/Event-Stream ;q="', '%ff=&last-event-id=%zz', '\n\n'),
    ]
    return {f'{number} {accept}': '\n'.join((accept, *rest)).encode('latin-1') for number, (accept, *rest) in enumerate(parts)}


def make() -> Seeds:
    """Return the corpus: by target and name, the inputs."""
    seeds = {
        'frames': _frames(),
        'hybi': _hybi(),
        'hixie': _hixie(),
        'request': _request(),
        'response': _response(),
        'proxy': _proxy(),
        'extensions': _extensions(),
        'negotiation': _negotiation(),
        'inflater': _inflater(),
        'url': _url(),
        'eventsource': _eventsource(),
    }
    for target, inputs in REGRESSIONS.items():
        seeds[target] |= {f'regression {name}': data for name, data in inputs.items()}
    return {target: {_slug(name): data for name, data in inputs.items()} for target, inputs in seeds.items()}


def _slug(name: str) -> str:
    """Return a name in the form of a file name."""
    return re.sub(r'[^\w.=]+', '-', name, flags=re.ASCII).strip('-')[:100] or 'empty'


def read() -> Seeds:
    """Return the corpus of the repository."""
    return {
        folder.name: {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in CORPUS.iterdir()
        if folder.is_dir()
    }


def write() -> None:
    """Replace the corpus of the repository by a new one."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    for target, inputs in make().items():
        (CORPUS / target).mkdir(parents=True)
        for name, data in inputs.items():
            (CORPUS / target / name).write_bytes(data)


if __name__ == '__main__':
    write()
