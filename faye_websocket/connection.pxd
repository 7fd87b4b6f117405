"""The C types of ``connection.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from .dispatch cimport Dispatcher
from .driver.base cimport Driver, SharedMessage
from .owner cimport Owner
from .reactor cimport Reactor
from .stream cimport Stream

cdef int CLOSED, CLOSING, CONNECTING, OPEN

cdef class Connection(Owner):
    cdef public Dispatcher _dispatcher
    cdef public Driver _driver
    cdef public object _limits
    cdef public bint _is_closing
    cdef public object _target
    cdef public Stream _stream
    cdef object _keepalive
    cdef object _maker
    cdef Py_ssize_t _early_bytes
    cdef Py_ssize_t _posted_bytes
    cdef Reactor _reactor
    cdef unsigned long _thread
    cdef object _timer
    cdef object _waiters
    cdef Py_ssize_t _low_water
    cdef Py_ssize_t _max_queue

    @cython.locals(driver=Driver, stream=Stream)
    cpdef bint send(self, object data) except -1
    @cython.locals(driver=Driver, stream=Stream)
    cpdef bint send_shared(self, SharedMessage message) except -1
    @cython.locals(waiting=Py_ssize_t)
    cpdef message(self, object data)
    @cython.locals(driver=Driver)
    cpdef bint received(self, bytes chunk) except -1
    cpdef rests(self)
