"""Names that programs import from other WebSocket libraries, on top of this one.

Each module has the shape of the library that it is named after, so that a program runs
once its import lines are changed: ``gevent_websocket``, ``flask_sock``,
``simple_websocket`` and ``flask_sockets``. They are thin: the connection is a
``faye_websocket.WebSocket`` in greenlet style, and what follows from that holds for old
programs too (the socket leaves its server, and closes with 1001 when that stops).
A module's docstring names what it leaves out. A new program needs none of them.
"""
