"""Followers, with a room, a backend and a target that do as they are told."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from faye_websocket.channels.follower import Follower, SocketFollower
from faye_websocket.channels.message import Chunk, Entry, Message, Position, position_of

ENTRIES = [Entry(f'{number}-0', f'{number - 1}-0', None, 'x') for number in (1, 2, 3)]


class Recorder(Follower):
    """A follower that notes what it sends, and stops after so many messages."""

    def __init__(self, room: Any, stop_after: int = 9) -> None:
        super().__init__(room, 1)
        self.sent: list[str] = []
        self.stop_after = stop_after

    @property
    def target(self) -> Any:
        """The target."""
        return self

    def _send(self, message: Message) -> bool:
        self.sent.append(message.id)
        if len(self.sent) == self.stop_after:
            self.stop()
        return True


def make_room(position: Position = (-1, 0)) -> Any:
    """Return a room whose history has three messages."""
    chunk = Chunk(False, '3-0', ENTRIES, True)
    channels = SimpleNamespace(
        backend=SimpleNamespace(read=lambda *arguments: chunk), find_message=Message, lost=[])
    channels.tell_lost = lambda target, name: channels.lost.append(name)
    desk = SimpleNamespace(channels=channels, lock=nullcontext(), is_inherited=False, defer=lambda *arguments: None)
    settled: list[Any] = []
    return SimpleNamespace(
        discard=None,
        desk=desk, name='room', position=position, settled=settled, settle=lambda *arguments: settled.append(arguments))


@pytest.mark.proves('R1')
def test_a_message_both_queued_and_read_is_sent_once() -> None:
    follower = Recorder(make_room())
    message = Message('room', ENTRIES[0])
    assert follower._take(message)
    assert follower._take(message)
    assert follower.sent == ['1-0']


@pytest.mark.proves('R1')
def test_a_stopped_follower_sends_no_more_of_the_history() -> None:
    follower = Recorder(make_room(), stop_after=2)
    assert not follower._read_on()
    assert follower.sent == ['1-0', '2-0']


@pytest.mark.proves('R2')
@pytest.mark.parametrize(('position', 'is_settled'), [((2, 0), False), ((3, 0), True)])
def test_a_socket_ahead_of_its_room_waits_for_the_room(position: Position, is_settled: bool) -> None:
    class Socket:
        """A socket."""

    room, socket = make_room(position), Socket()
    follower = SocketFollower(room, socket, '3-0')
    follower._position = position_of('3-0')
    assert not follower._rest()
    assert bool(room.settled) is is_settled
