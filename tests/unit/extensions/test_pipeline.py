"""The extensions of one connection: their negotiation, and the order of their work."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from faye_websocket.errors import ExtensionFailure, InvalidData, MessageTooBig
from faye_websocket.extensions import Message, Pipeline, pipeline
from tests.support.vectors import RSV1, RSV2, RSV3


class Suffix:
    """An extension that appends its name to every message, and removes it again.

    It is its own session.
    """

    def __init__(self, name: str, rsv: int = 0, response: Any = {}, offer: Any = {}) -> None:  # noqa: B006
        self.name, self.response, self.offer = name, response, offer
        self.rsv1, self.rsv2, self.rsv3 = bool(rsv & RSV1), bool(rsv & RSV2), bool(rsv & RSV3)
        self.log: list[Any] = []

    def create_server_session(self, offers: list[Any]) -> Suffix | None:
        self.log.append(offers)
        return None if self.response is None else self

    def create_client_session(self) -> Suffix | None:
        return None if self.offer is None else self

    def generate_response(self) -> Any:
        return self.response

    def generate_offer(self) -> Any:
        return self.offer

    def activate(self, parameters: Any) -> bool:
        self.log.append(parameters)
        return 'bad' not in parameters

    def process_outgoing_message(self, message: Message) -> Message:
        return Message(message.opcode, message.data + self.name.encode(), message.rsv)

    def process_incoming_message(self, message: Message) -> Message:
        return Message(message.opcode, message.data.removesuffix(self.name.encode()), message.rsv)

    def close(self) -> None:
        self.log.append('closed')


class Faulty(Suffix):
    """An extension that raises in the named methods."""

    def __init__(self, *methods: str, error: Exception | None = None) -> None:
        super().__init__('faulty')
        for method in methods:
            setattr(self, method, self.fail)
        self.error = error or RuntimeError('a fault')

    def fail(self, *arguments: Any) -> Any:
        raise self.error


def negotiated(offers: str, *extensions: Suffix) -> Pipeline:
    """Return the pipeline of a server after a client's offers."""
    pipeline = Pipeline(extensions)
    assert pipeline.generate_response(offers) == pipeline.header
    return pipeline


def activated(answer: str, *extensions: Suffix) -> Pipeline:
    """Return the pipeline of a client after a server's response."""
    pipeline = Pipeline(extensions)
    pipeline.generate_offer()
    pipeline.activate(answer)
    return pipeline


class TestOption:
    @pytest.mark.parametrize('extensions', [[object()], 'deflate', [Suffix], [None]])
    def test_accepts_extensions_only(self, extensions: Any) -> None:
        with pytest.raises(TypeError, match='^extensions: expected objects such as PermessageDeflate'):
            Pipeline(extensions)

    def test_accepts_names_that_can_be_sent(self) -> None:
        with pytest.raises(ValueError, match="^extensions: 'a b' is not a valid name$"):
            Pipeline([Suffix('a b')])

    def test_accepts_each_name_once(self) -> None:
        with pytest.raises(ValueError, match='^extensions: a is given more than once$'):
            Pipeline([Suffix('a'), Suffix('a')])


class TestServer:
    def test_passes_an_extension_all_of_its_offers(self) -> None:
        a, b = Suffix('a'), Suffix('b')
        pipeline = negotiated('b; x=1, a, b', a, b)
        assert (a.log, b.log, pipeline.header) == ([[{}]], [[{'x': '1'}, {}]], 'a, b')

    def test_leaves_out_extensions_not_offered_or_declined(self) -> None:
        a, b, c = Suffix('a'), Suffix('b', RSV1, response=None), Suffix('c', RSV1, response={'x': True})
        pipeline = negotiated('b, c, d', a, b, c)
        assert (a.log, pipeline.header, pipeline.reserved) == ([], 'c; x', RSV1)

    def test_gives_each_reserved_bit_to_one_extension(self) -> None:
        first, second, third = Suffix('a', RSV1), Suffix('b', RSV1 | RSV2), Suffix('c', RSV2 | RSV3)
        pipeline = negotiated('c, b, a', first, second, third)
        assert (second.log, pipeline.header, pipeline.reserved) == ([], 'a, c', RSV1 | RSV2 | RSV3)

    def test_may_agree_on_nothing(self) -> None:
        pipeline = negotiated('', Suffix('a'))
        assert (pipeline.header, pipeline.reserved) == ('', 0)
        message = Message(1, b'hi', 0)
        assert pipeline.process_outgoing_message(message) is pipeline.process_incoming_message(message) is message

    def test_raises_for_a_malformed_offer(self) -> None:
        with pytest.raises(ValueError, match='^malformed Sec-WebSocket-Extensions header at character 0$'):
            negotiated(';')

    @pytest.mark.parametrize('method', ['create_server_session', 'generate_response'])
    def test_does_without_an_extension_that_fails(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        pipeline = negotiated('faulty, a', Faulty(method), Suffix('a'))
        assert (pipeline.header, caplog.messages) == ('a', ['the extension faulty failed to negotiate'])

    @pytest.mark.proves('P4')
    def test_shares_one_header_between_equal_agreements(self) -> None:
        assert negotiated('a, b', Suffix('a'), Suffix('b')).header is negotiated('a, b', Suffix('a'), Suffix('b')).header

    @pytest.mark.proves('S4', 'O6')
    def test_does_not_keep_a_long_header_after_the_connection(self) -> None:
        before = pipeline._shared.cache_info()
        for length, misses in ((254, 1), (255, 1)):
            assert len(negotiated('a', Suffix('a', response={'x' * (length - 1): True})).header) == length + 2
            assert pipeline._shared.cache_info().misses - before.misses == misses


class TestClient:
    def test_offers_all_extensions_in_their_order(self) -> None:
        pipeline = Pipeline([
            Suffix('a', RSV1, offer={'x': '1', 'y': False}), Suffix('b', offer=None),
            Suffix('c', RSV1, offer=[{'z': True}, {}])])
        assert pipeline.generate_offer() == 'a; x=1, c; z, c'

    def test_offers_nothing_without_extensions(self) -> None:
        assert Pipeline([]).generate_offer() == ''

    def test_agrees_on_the_servers_extensions_in_its_order(self) -> None:
        a, b, c = Suffix('a', RSV1), Suffix('b', RSV1), Suffix('c', RSV2)
        pipeline = activated('c; x=1, b', a, b, c)
        assert (a.log, b.log, c.log) == ([], [{}], [{'x': '1'}])
        assert (pipeline.header, pipeline.reserved) == ('c; x=1, b', RSV1 | RSV2)
        assert pipeline.process_outgoing_message(Message(1, b'-', 0)).data == b'-cb'

    @pytest.mark.parametrize('answer', ['', ' '])
    def test_accepts_a_response_without_extensions(self, answer: str) -> None:
        pipeline = activated(answer, Suffix('a', RSV1))
        assert (pipeline.header, pipeline.reserved) == ('', 0)

    @pytest.mark.parametrize(('answer', 'text'), [
        ('z', 'z was not offered, or is accepted twice'),
        ('n', 'n was not offered, or is accepted twice'),
        ('a, z', 'z was not offered, or is accepted twice'),
        ('c, c', 'c was not offered, or is accepted twice'),
        ('a, b', 'b uses a reserved bit that another extension uses'),
        ('c; bad', 'the parameters of c do not match the offer'),
        (';', 'malformed Sec-WebSocket-Extensions header at character 0'),
    ])
    def test_raises_for_a_response_that_does_not_match_the_offer(self, answer: str, text: str) -> None:
        with pytest.raises(ValueError, match=f'^{text}$'):
            activated(answer, Suffix('a', RSV1), Suffix('b', RSV1), Suffix('c'), Suffix('n', offer=None))

    @pytest.mark.parametrize('method', ['create_client_session', 'generate_offer'])
    def test_does_without_an_extension_that_fails(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        assert Pipeline([Faulty(method), Suffix('a')]).generate_offer() == 'a'
        assert caplog.messages == ['the extension faulty failed to make an offer']

    def test_refuses_a_response_on_which_an_extension_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(ValueError, match='^the parameters of faulty do not match the offer$'):
            activated('faulty', Faulty('activate'))
        assert caplog.messages == ['the extension faulty failed to activate']


class TestMessages:
    def test_pass_the_extensions_in_order_and_back_in_reverse(self) -> None:
        pipeline = negotiated('a, b', Suffix('a'), Suffix('b'))
        message = pipeline.process_outgoing_message(Message(2, b'-', 0))
        assert message.data == b'-ab'
        assert pipeline.process_incoming_message(message).data == b'-'

    def test_pass_no_extension_once_it_is_closed(self) -> None:
        extension = Suffix('a')
        pipeline = negotiated('a', extension)
        pipeline.close()
        pipeline.close()
        assert extension.log == [[{}], 'closed']
        assert pipeline.process_outgoing_message(Message(2, b'-', 0)).data == b'-'

    @pytest.mark.parametrize(('direction', 'text'), [
        ('incoming', 'an extension failed to process an incoming message'),
        ('outgoing', 'an extension failed to process an outgoing message')])
    def test_on_which_an_extension_raises_are_its_failure(
            self, direction: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
        method = f'process_{direction}_message'
        pipeline = negotiated('faulty', Faulty(method))
        with pytest.raises(ExtensionFailure, match='^an extension failed$') as caught:
            getattr(pipeline, method)(Message(1, b'-', 0))
        assert (caught.value.code, str(caught.value.__cause__), caplog.messages) == (1011, 'a fault', [text])

    @pytest.mark.parametrize('direction', ['incoming', 'outgoing'])
    @pytest.mark.parametrize('answer', [None, 'text', Message(1, 'text', 0)])  # type: ignore[arg-type]
    def test_that_an_extension_replaces_by_something_else_are_its_failure(self, direction: str, answer: Any) -> None:
        method, extension = f'process_{direction}_message', Suffix('a')
        setattr(extension, method, lambda message: answer)
        with pytest.raises(ExtensionFailure):
            getattr(negotiated('a', extension), method)(Message(1, b'-', 0))

    @pytest.mark.parametrize('error', [InvalidData('x'), MessageTooBig('y')])
    def test_with_a_fault_of_the_peer_raise_its_error(self, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
        pipeline = negotiated('faulty', Faulty('process_incoming_message', error=error))
        with pytest.raises(type(error)):
            pipeline.process_incoming_message(Message(1, b'-', 0))
        assert caplog.messages == []

    def test_end_with_the_connection_even_if_an_extension_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        after = Suffix('a')
        negotiated('faulty, a', Faulty('close'), after).close()
        assert (after.log[-1], caplog.record_tuples) == (
            'closed', [('faye_websocket', logging.ERROR, 'an extension failed to close')])

    def test_have_a_key_if_all_extensions_have_one(self) -> None:
        keyed, other = Suffix('a'), Suffix('b')
        keyed.broadcast_key = 'key'  # type: ignore[attr-defined]
        assert negotiated('a', keyed).broadcast_key == ('key',)
        assert negotiated('a, b', keyed, other).broadcast_key is None


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
