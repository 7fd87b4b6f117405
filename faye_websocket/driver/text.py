"""Text as UTF-8.

A Python string may contain surrogates, and UTF-8 may not. A pair of them becomes its
character, and a lone one U+FFFD, as in every string that a browser sends (WebIDL's
USVString). So every text can be encoded.
"""

from __future__ import annotations

__all__ = ['encode_text']


def encode_text(text: str) -> bytes:
    """Return a text in UTF-8, with U+FFFD in place of each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # UTF-16 represents characters by surrogates, so that its decoder knows which of
        # them are pairs.
        utf16 = text.encode('utf-16-le', 'surrogatepass')
        return utf16.decode('utf-16-le', 'replace').encode()
