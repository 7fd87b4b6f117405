"""Types of the messages that an application may send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

__all__ = ['Number', 'Sendable']

if TYPE_CHECKING:
    # collections.abc has Buffer since Python 3.12. Type checkers always know this
    # module.
    from typing_extensions import Buffer
else:
    Buffer = bytes

Number = int | float
#: A message to send: text; binary, as a bytes-like object or as a sequence of numbers
#: from 0 to 255; or a number, which is sent as its text.
Sendable = str | Buffer | Sequence[int] | Number
