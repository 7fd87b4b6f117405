"""The C types of ``stream.py``, and no logic."""

cimport cython

from . cimport _syscalls as syscalls
from .outflow cimport Outflow
from .owner cimport Owner
from .reactor cimport Reactor

cdef Py_ssize_t LARGE_READ, READS, SMALL_READ
cdef int ALONE, CLOSED, CORKED, ENDING, FEEDING, OPEN

cdef class Stream(Outflow):
    cdef object _timer
    cdef object _reader

    @cython.locals(chunk=bytes, size=Py_ssize_t)
    cpdef bint _readable(self, str reason=*) except -1
    @cython.locals(is_held=bint)
    cpdef feed(self, bytes chunk)

cpdef _read(Stream stream)
cpdef _read_held(Stream stream)
