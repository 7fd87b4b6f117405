"""The C types of ``codec.py``, and no logic."""

cimport cython

from . cimport _mask as mask

cdef int _FIN, _MASKED, _RESERVED, _CONTROL, _TEXT

cdef bytes _CODES

cdef int _size_of_length(Py_ssize_t length) noexcept
cpdef bytes serialize_frame_head(int opcode, object length)

@cython.locals(first=int, second=int, size=int, length=Py_ssize_t)
cpdef bytes serialize_frame(int opcode, object payload, bint fin=*, int rsv=*, bytes masking_key=*)

cpdef bytes serialize_text(str message, bytes masking_key=*)

@cython.final
cdef class Frame:
    cdef readonly int first_byte
    cdef readonly int opcode
    cdef readonly long long length
    cdef readonly bytes masking_key
    cdef readonly bytes payload
    cdef readonly bint is_first
    cdef readonly bint is_last

@cython.locals(frame=Frame)
cdef Frame _make_frame(
    int first_byte, long long length, bytes masking_key, bytes payload, bint is_first, bint is_last)

@cython.final
cdef class FrameParser:
    cdef bytes _buffer
    cdef Py_ssize_t _position
    cdef Frame _frame
    cdef long long _missing
    cdef bint _masked
    cdef bytes _legal_first_bytes

    cpdef feed(self, bytes chunk)

    @cython.locals(
        buffer=bytes, masking_key=bytes, position=Py_ssize_t, available=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t,
        first_byte=int, second=int, length='long long')
    cpdef next_frame(self)

    @cython.locals(frame=Frame, buffer=bytes, start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t)
    cdef Frame _next_part(self, bint is_first)

    cpdef forget(self)

@cython.locals(length='unsigned long long', index=Py_ssize_t)
cdef long long _read_length(bytes buffer, Py_ssize_t start, Py_ssize_t end) except -1
