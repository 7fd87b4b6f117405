"""Extensions of RFC 6455 section 9, which stand between messages and frames.

``PermessageDeflate`` is one. Another is any object with a ``name``, the reserved bits
of a frame that it uses (``rsv1``, ``rsv2``, ``rsv3``, each True or False), and two
methods. Both return the session of a connection, or ``None`` to take no part in it:

- ``create_client_session()``. The session's ``generate_offer()`` returns the parameters
  to offer, as a dict, or as a list of dicts with the best first.
  ``activate(parameters)`` is called with the parameters of the server's response. It
  returns False if they do not match the offer, which fails the connection.
- ``create_server_session(offers)``, called with the parameters of every offer that the
  client made for this name. The session's ``generate_response()`` returns the
  parameters agreed on.

In parameters, True stands for one without a value, False for one that is absent, a str
for a value, and a list for several values of one name.

Both sessions have ``process_outgoing_message(message)`` and
``process_incoming_message(message)``, which change a ``Message`` (or make another) and
return it, and ``close()``. A message has ``opcode`` (1 for text, 2 for binary),
``data`` (bytes), and ``rsv1``, ``rsv2`` and ``rsv3``, which are sent with it. Raise
``ProtocolError``, or a subclass with another close code (``InvalidData``,
``MessageTooBig``), for a message that is not valid. Never make more than
``message.max_length`` bytes of an incoming message: stop before.
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
