"""The documented name of ``faye_websocket.compiled.IS_COMPILED``."""

from __future__ import annotations

from ..compiled import IS_COMPILED

__all__ = ['IS_COMPILED']
