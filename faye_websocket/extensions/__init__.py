"""Extensions of RFC 6455 section 9: how they are offered, agreed on, and put between messages and frames."""

from __future__ import annotations

from .pipeline import Extension, Message, Pipeline, Session

__all__ = ['Extension', 'Message', 'Pipeline', 'Session']
