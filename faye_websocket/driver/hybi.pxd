"""The C types of ``hybi.py``, and no logic."""

cimport cython

from ..extensions.pipeline cimport Message, Pipeline
from .base cimport Driver, SharedMessage
from .codec cimport Frame, FrameParser, serialize_frame, serialize_frame_head, serialize_text
from .incoming_message cimport IncomingMessage

cdef int CLOSED, CLOSING, CONNECTING, OPEN
cdef int TEXT, BINARY, CLOSE, PING, PONG
cdef bytes _IS_WHOLE
cdef Py_ssize_t _LARGE_MESSAGE

cdef class Hybi(Driver):
    cdef public str version
    cdef public Py_ssize_t max_fragments
    cdef public Pipeline _extensions
    cdef FrameParser _parser
    cdef IncomingMessage _incoming
    cdef list _pings
    cdef object _reason

    @cython.locals(parser=FrameParser, frame=Frame, opcode=int)
    cpdef parse(self, bytes chunk)
    @cython.locals(message=IncomingMessage, is_end=bint)
    cdef object _receive_data(self, Frame frame)
    cdef object _undo_extensions(self, int opcode, bytes data, int rsv)
    cpdef bint text(self, object message) except -1
    cpdef bint binary(self, object message) except -1
    @cython.locals(frame=bytes, opcode=int)
    cpdef bint send_shared(self, SharedMessage message) except -1
    cpdef bint _send_message(self, int opcode, object data) except -1
    cdef bytes _extend(self, int opcode, object data)
    cpdef bytes _masking_key(self)

cdef object _decode(int opcode, bytes data)
