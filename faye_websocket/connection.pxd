"""The C types of ``connection.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from .dispatch cimport Dispatcher
from .driver.base cimport Driver
from .sender cimport Sender
from .stream cimport Stream

cdef int CLOSED, CONNECTING, OPEN

cdef class Connection(Sender):
    cdef public Dispatcher _dispatcher
    cdef public object _target
    cdef object _timer
    cdef Py_ssize_t _max_queue

    @cython.locals(waiting=Py_ssize_t)
    cpdef message(self, object data)
    @cython.locals(driver=Driver)
    cpdef bint received(self, bytes chunk) except -1
    cpdef rests(self)
