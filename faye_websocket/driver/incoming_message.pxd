"""The C types of ``incoming_message.py``, and no logic."""

from .codec cimport Frame

cdef int CONTINUATION, TEXT, _FLUSH

cdef class IncomingMessage:
    cdef readonly int opcode
    cdef readonly int rsv
    # A peer may declare a length that no C integer can hold.
    cdef object _length
    cdef object _max_length
    cdef Py_ssize_t _fragments
    cdef Py_ssize_t _max_fragments
    cdef list _parts
    cdef object _validator

    cdef begin_frame(self, Frame frame)
    cdef bint _may_be_deflated(self) except -1
    cdef add(self, bytes payload, bint is_end)
    cdef bytes data(self)
