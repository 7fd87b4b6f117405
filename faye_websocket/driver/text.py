"""Text as UTF-8, which has no surrogates.

A Python string may hold them, alone or in pairs: pairs become their character, and lone ones U+FFFD, as in every string
that a browser sends (WebIDL's USVString). So no text raises.
"""

from __future__ import annotations

__all__ = ['encode_text']


def encode_text(text: str) -> bytes:
    """Return a text in UTF-8, with U+FFFD in the place of each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Of UTF-16, which is made of surrogates, the decoder knows which of them belong together.
        utf16 = text.encode('utf-16-le', 'surrogatepass')
        return utf16.decode('utf-16-le', 'replace').encode()
