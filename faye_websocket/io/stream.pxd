"""The C types of ``stream.py``, and no logic."""

cimport cython

from . cimport _syscalls as syscalls
from ..driver.writer cimport Writer
from .owner cimport Owner
from .reactor cimport Reactor

cdef Py_ssize_t BURST, LARGE_READ, READS, SMALL_READ

cdef class Stream(Writer):
    cdef object _transport
    cdef int _descriptor
    # A byte each, where bint would be four, in every idle connection.
    cdef unsigned char _has_peer_ended
    cdef unsigned char _is_behind
    cdef unsigned char _is_bulk
    cdef unsigned char _is_corked
    cdef unsigned char _is_ending
    cdef unsigned char _is_feeding
    cdef unsigned char _is_closed
    cdef public bint is_paused
    cdef public bint was_heard
    cdef Owner _owner
    cdef Reactor _reactor
    cdef Py_ssize_t _low_water
    cdef list _burst
    cdef object _backlog
    cdef object _timer
    cdef object _writer
    cdef object _reader
    cdef public Py_ssize_t buffered

    @cython.locals(chunk=bytes, size=Py_ssize_t)
    cpdef bint _readable(self, str reason=*) except -1
    @cython.locals(is_held=bint)
    cpdef feed(self, bytes chunk)
    cpdef uncork(self)
    cpdef write(self, bytes data)
    @cython.locals(burst=list)
    cdef _flush(self)
    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cdef object _send(self, object chunk, object more=*)
    cdef _keep(self, object rest)
    cpdef write_parts(self, bytes head, object payload)

cpdef _read(Stream stream)
cpdef _read_held(Stream stream)
cpdef _write_on(Stream stream)
