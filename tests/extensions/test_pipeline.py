"""Extensions of one connection: which are agreed on, and the order in which messages go through them."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.extensions import Message, Pipeline
from tests.driver.vectors import RSV1, RSV2, RSV3


class Suffix:
    """An extension whose name goes to the end of every message, and is taken off again."""

    def __init__(self, name: str, rsv: int = 0, response: dict[str, Any] | None = {}) -> None:  # noqa: B006
        self.name, self.response = name, response
        self.rsv1, self.rsv2, self.rsv3 = bool(rsv & RSV1), bool(rsv & RSV2), bool(rsv & RSV3)
        self.log: list[Any] = []

    def create_server_session(self, offers: list[Any]) -> Suffix | None:
        self.log.append(offers)
        return None if self.response is None else self

    def generate_response(self) -> Any:
        return self.response

    def process_outgoing_message(self, message: Message) -> Message:
        return Message(message.opcode, message.data + self.name.encode(), message.rsv)

    def process_incoming_message(self, message: Message) -> Message:
        return Message(message.opcode, message.data.removesuffix(self.name.encode()), message.rsv)

    def close(self) -> None:
        self.log.append('closed')


def negotiated(offers: list[Any], *extensions: Suffix) -> Pipeline:
    """The pipeline after a client's offers."""
    pipeline = Pipeline(extensions)
    pipeline.negotiate(offers)
    return pipeline


class TestNegotiation:
    def test_shows_an_extension_all_of_its_offers(self) -> None:
        a, b = Suffix('a'), Suffix('b')
        pipeline = negotiated([('b', {'x': '1'}), ('a', {}), ('b', {})], a, b)
        assert (a.log, b.log, pipeline.header) == ([[{}]], [[{'x': '1'}, {}]], 'a, b')

    def test_leaves_out_what_is_not_offered_or_declined(self) -> None:
        a, b, c = Suffix('a'), Suffix('b', RSV1, response=None), Suffix('c', RSV1, response={'x': True})
        pipeline = negotiated([('b', {}), ('c', {}), ('d', {})], a, b, c)
        assert (a.log, pipeline.header, pipeline.reserved) == ([], 'c; x', RSV1)

    def test_gives_each_reserved_bit_to_one_extension(self) -> None:
        first, second, third = Suffix('a', RSV1), Suffix('b', RSV1 | RSV2), Suffix('c', RSV2 | RSV3)
        pipeline = negotiated([('c', {}), ('b', {}), ('a', {})], first, second, third)
        assert (second.log, pipeline.header, pipeline.reserved) == ([], 'a, c', RSV1 | RSV2 | RSV3)

    def test_may_come_to_nothing(self) -> None:
        pipeline = negotiated([], Suffix('a'))
        assert (pipeline.header, pipeline.reserved) == ('', 0)
        message = Message(1, b'hi', 0)
        assert pipeline.process_outgoing_message(message) is pipeline.process_incoming_message(message) is message


class TestMessages:
    def test_go_out_through_the_first_one_first_and_come_in_the_other_way(self) -> None:
        pipeline = negotiated([('a', {}), ('b', {})], Suffix('a'), Suffix('b'))
        message = pipeline.process_outgoing_message(Message(2, b'-', 0))
        assert message.data == b'-ab'
        assert pipeline.process_incoming_message(message).data == b'-'

    def test_go_through_nothing_once_it_is_closed(self) -> None:
        extension = Suffix('a')
        pipeline = negotiated([('a', {})], extension)
        pipeline.close()
        pipeline.close()
        assert extension.log == [[{}], 'closed']
        assert pipeline.process_outgoing_message(Message(2, b'-', 0)).data == b'-'


class TestMessage:
    @pytest.mark.parametrize(('name', 'bit'), [('rsv1', RSV1), ('rsv2', RSV2), ('rsv3', RSV3)])
    def test_has_three_reserved_bits(self, name: str, bit: int) -> None:
        message = Message(1, b'', 0)
        assert getattr(message, name) is False
        setattr(message, name, True)
        assert (getattr(message, name), message.rsv) == (True, bit)
        message.rsv = RSV1 | RSV2 | RSV3
        setattr(message, name, False)
        assert (getattr(message, name), message.rsv) == (False, (RSV1 | RSV2 | RSV3) & ~bit)

    def test_shows_its_state(self) -> None:
        assert repr(Message(2, b'abc', RSV1 | RSV3)) == '<Message opcode=2 rsv=101 3 bytes>'
