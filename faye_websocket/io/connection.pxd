"""The C types of ``connection.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from .dispatch cimport Dispatcher
from ..driver.base cimport Driver
from .sender cimport Sender
from .stream cimport Stream

cdef int CLOSED, CONNECTING, OPEN

cdef class Connection(Sender):
    cdef public Dispatcher _dispatcher
    cdef object _timer
    cdef object _end
    cdef int _max_queue
    # A byte each, where bint would be four, in every idle connection.
    cdef unsigned char _is_end_known
    cdef unsigned char _is_over
    cdef unsigned char _was_open

    @cython.locals(waiting=Py_ssize_t)
    cpdef message(self, object data)
    @cython.locals(driver=Driver)
    cpdef bint received(self, bytes chunk) except -1
    cpdef rests(self)
