"""The C types of ``inflater.py``, and no logic."""

cimport cython

cdef bytes _TAIL

cdef class Inflater:
    cdef object _bits
    cdef object _zlib

    @cython.locals(parts=list)
    cpdef bytes inflate(self, bytes data, object max_length)
    cdef bint _inflate(self, bytes data, list parts, object max_length) except -1
