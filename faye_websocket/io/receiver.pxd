"""The C types of ``receiver.py``, and no logic."""

cimport cython

from ..driver.base cimport Driver
from .dispatch cimport Dispatcher
from .sender cimport Sender

cdef int CLOSED, CONNECTING, OPEN

cdef class Receiver(Sender):
    cdef public Dispatcher _dispatcher
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
