"""The C types of ``inflater.py``, and no logic."""

cimport cython

cdef bytes _TAIL
cdef Py_ssize_t _INPUT

cdef class Inflater:
    cdef object _bits
    cdef object _zlib

    @cython.locals(parts=list)
    cpdef bytes inflate(self, bytes data, object max_length)
    @cython.locals(missing=Py_ssize_t)
    cdef bint _inflate(self, bytes data, list parts, object max_length) except -1
