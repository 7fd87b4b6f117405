"""The C types of ``outflow.py``, and no logic."""

cimport cython

from . cimport _syscalls as syscalls
from ..driver.writer cimport Writer
from .owner cimport Owner
from .reactor cimport Reactor

cdef Py_ssize_t BURST
cdef int CORKED, FEEDING, LOOSE, OPEN

cdef class Outflow(Writer):
    cdef object _transport
    cdef int _descriptor
    cdef int _low_water
    # A byte each, where bint would be four, in every idle connection. The last three
    # are ``Stream``'s: there they would take eight bytes more.
    cdef unsigned char _phase
    cdef unsigned char _cork
    cdef unsigned char _is_behind
    cdef unsigned char _is_bulk
    cdef public unsigned char is_paused
    cdef public unsigned char was_heard
    cdef Owner _owner
    cdef Reactor _reactor
    cdef list _burst
    cdef object _backlog
    cdef object _writer
    cdef public Py_ssize_t buffered

    cpdef uncork(self)
    cpdef write(self, bytes data)
    @cython.locals(burst=list)
    cdef _flush(self)
    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cdef object _send(self, object chunk, object more=*)
    cdef _keep(self, object rest)
    cpdef write_parts(self, bytes head, object payload)

cpdef _write_on(Outflow outflow)
