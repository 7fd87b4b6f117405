"""The C types of ``base.py``, and no logic."""

from .emitter cimport EventEmitter
from .writer cimport Writer

cdef class SharedMessage:
    cdef readonly object data
    cdef readonly int opcode
    cdef readonly bytes payload
    cdef readonly dict frames

cdef class Driver(EventEmitter):
    cdef public Writer _writer
    cdef public Py_ssize_t max_length
    # A byte each, in every idle connection.
    cdef public unsigned char ready_state
    cdef public unsigned char _is_started
    cdef public unsigned char is_paused
    cdef public bint was_clean
    cdef public str protocol
    cdef public object _environ
    cdef public object _headers
    cdef public list _commands

    cpdef parse(self, bytes chunk)
    cpdef bint text(self, object message) except -1
    cpdef bint binary(self, object message) except -1
    cpdef bint send_shared(self, SharedMessage message) except -1
