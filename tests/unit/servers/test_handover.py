"""The way of the 101 from a server to its client."""

from __future__ import annotations

from typing import Any

from faye_websocket.servers.handover import Handover
from tests.support.local import make_environ, tcp_pair


def test_a_handshake_is_accepted_once() -> None:
    ours, theirs = tcp_pair()
    accepted: list[Any] = []

    def accept(*arguments: Any) -> None:
        accepted.append(arguments)

    handover = Handover(
        make_environ(ours), accepted=accept, replaced=lambda transport, head: None, view_failed=accept)
    handover.accept()
    handover.accept()
    (transport, received, headers), = accepted
    assert (received, headers) == (b'', [])
    for each in (transport, ours, theirs):
        each.close()
