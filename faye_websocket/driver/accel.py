"""The one switch between the codec's pure and its compiled form, made once, at import."""

from __future__ import annotations

from .codec import Frame, FrameParser, apply_mask, serialize_frame

__all__ = ['Frame', 'FrameParser', 'apply_mask', 'serialize_frame']
