"""The subprotocols of ``geventwebsocket.protocols``; there is no ``wamp``."""
