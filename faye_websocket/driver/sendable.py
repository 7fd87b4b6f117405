"""sendable: the types of what an application may send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

__all__ = ['Number', 'Sendable']

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12; type checkers always know this one.
    from typing_extensions import Buffer
else:
    Buffer = bytes

Number = int | float
#: Text; binary, as bytes-like or as numbers from 0 to 255; or a number, as its text.
Sendable = str | Buffer | Sequence[int] | Number
