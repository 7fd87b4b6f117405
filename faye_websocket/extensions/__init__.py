"""Extensions of RFC 6455 section 9: how they are offered, agreed on, and put between messages and frames.

``PermessageDeflate`` is here. Another is any object with a ``name``, the reserved bits of a frame that it uses (``rsv1``,
``rsv2``, ``rsv3``, each True or False), and two methods that make a session for a connection, or ``None``:

- ``create_client_session()``. The session's ``generate_offer()`` answers the parameters to offer, a dict, or a list of dicts,
  best first. ``activate(parameters)`` takes those of the server's answer; False if they are no answer to the offer, which fails
  the connection.
- ``create_server_session(offers)``, with the parameters of every offer that the client made for this name. The session's
  ``generate_response()`` answers those agreed on; ``None`` instead of a session declines.

In parameters, True stands for one without a value, False for none, a str for a value and a list for several of one name.

Both sessions have ``process_outgoing_message(message)`` and ``process_incoming_message(message)``, which change a
``Message`` (or make another) and return it, and ``close()``. A message has ``opcode`` (1 for text, 2 for binary), ``data``
(bytes) and ``rsv1``, ``rsv2``, ``rsv3``, which go over the wire with it. Raise ``ProtocolError``, or a subclass with a
close code of its own (``InvalidData``, ``MessageTooBig``), for a message that cannot be right. Stop before more than
``message.max_length`` bytes are made of one that came.
"""

from __future__ import annotations

from ..errors import InvalidData, MessageTooBig, ProtocolError
from .permessage_deflate import PermessageDeflate
from .pipeline import ClientSession, Extension, Message, Pipeline, ServerSession, Session

__all__ = [
    'ClientSession',
    'Extension',
    'InvalidData',
    'Message',
    'MessageTooBig',
    'PermessageDeflate',
    'Pipeline',
    'ProtocolError',
    'ServerSession',
    'Session',
]
