"""FrameTap: the frames of one direction of a connection, for those who only look on."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ProtocolError
from .codec import RSV1, RSV2, RSV3, Frame, FrameParser
from .codes import Opcode

__all__ = ['OPCODE_NAMES', 'FrameTap']

OPCODE_NAMES = {value: name for name, value in vars(Opcode).items() if name.isupper()}


class FrameTap:
    """One direction of a connection; the driver parses its bytes for itself."""

    __slots__ = ('_parser',)

    def __init__(self, *, masked: bool) -> None:
        self._parser: FrameParser | None = FrameParser(masked=masked)
        # Only the driver knows which of them an extension uses.
        self._parser.reserve(RSV1 | RSV2 | RSV3)

    def feed(self, data: bytes) -> Iterator[Frame | ProtocolError]:
        """Yield the frames that begin in these bytes, or the reason why there is none.

        Of a long frame the first part is yielded, with the length of them all. Nothing
        is yielded behind the reason.
        """
        if self._parser is None:
            return
        self._parser.feed(data)
        try:
            while (frame := self._parser.next_frame()) is not None:
                if frame.is_first:
                    yield frame
        except ProtocolError as error:
            self._parser = None
            yield error
