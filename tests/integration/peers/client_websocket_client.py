"""Python's websocket-client, blocking: see README."""

import sys

import websocket


def main(url: str, authority: str | None = None) -> None:
    """Exchange one text and one binary message."""
    ws = websocket.create_connection(url, sslopt={'ca_certs': authority} if authority else None)
    ws.send('h\u00e9llo \u2603 \U0001f600')
    print('text', ws.recv())
    ws.send_binary(bytes(range(256)))
    print('binary', ws.recv_data()[1].hex())
    ws.send_close(3001, b'bye')
    opcode, payload = ws.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    print('close', int.from_bytes(payload[:2], 'big'))
    ws.close()


main(*sys.argv[1:])
