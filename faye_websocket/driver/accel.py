"""The one switch between the codec's pure and its compiled form, made once, at import.

The compiled one is taken unless it is absent, or the environment variable FAYE_WEBSOCKET_PURE is set to anything but ``0``.
"""

from __future__ import annotations

import os

__all__ = ['IS_COMPILED', 'Frame', 'FrameParser', 'apply_mask', 'serialize_frame']

IS_COMPILED = False

if os.environ.get('FAYE_WEBSOCKET_PURE', '') in ('', '0'):
    try:
        from ._codec import Frame, FrameParser, apply_mask, serialize_frame

        IS_COMPILED = True
    # Absent, not broken: what cannot be loaded is worth knowing of.
    except ModuleNotFoundError:
        pass
if not IS_COMPILED:
    from .codec import Frame, FrameParser, apply_mask, serialize_frame
