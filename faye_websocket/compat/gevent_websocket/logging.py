"""``create_logger`` of ``geventwebsocket.logging``."""

from __future__ import annotations

import logging

__all__ = ['create_logger']


def create_logger(name: str, debug: bool = False, format: str | None = None) -> logging.Logger:
    """Return the logger of this name, without its handlers.

    With ``debug`` it writes everything to standard error, in this ``format``.
    """
    logger = logging.getLogger(name)
    logger.handlers.clear()
    if debug:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(format))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    return logger
