"""Sockets, clocks and greenlets: all that knows gevent."""
