"""The C types of ``stream.py``, and no logic."""

cimport cython

from . cimport _sockets as sockets
from .driver.writer cimport Writer
from .owner cimport Owner
from .reactor cimport Reactor

cdef Py_ssize_t BURST, LARGE_READ, READS, SMALL_READ

cdef class Stream(Writer):
    cdef object _transport
    cdef int _descriptor
    cdef Owner _owner
    cdef Reactor _reactor
    cdef Py_ssize_t _low_water
    cdef list _burst
    cdef object _partial
    cdef dict _urgent
    cdef object _backlog
    cdef bint _has_peer_ended
    cdef bint _is_behind
    cdef bint _is_bulk
    cdef bint _is_corked
    cdef bint _is_ending
    cdef bint _is_feeding
    cdef bint _is_closed
    cdef object _timer
    cdef object _writer
    cdef object _reader
    cdef public Py_ssize_t buffered
    cdef public bint is_paused
    cdef public bint was_heard

    @cython.locals(chunk=bytes, size=Py_ssize_t)
    cpdef bint _readable(self) except -1
    @cython.locals(is_held=bint)
    cpdef feed(self, bytes chunk)
    cpdef uncork(self)
    cpdef write(self, bytes data)
    @cython.locals(chunk=bytes, burst=list)
    cdef _flush(self)
    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cdef object _send(self, object chunk, object more=*)
    cdef _keep(self, object rest)
    cpdef write_parts(self, bytes head, object payload)
