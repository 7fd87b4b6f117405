"""The C types of ``sender.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from ..driver.base cimport Driver, SharedMessage
from .owner cimport Owner
from .reactor cimport Reactor
from .stream cimport Stream

cdef int CLOSED, CLOSING, CONNECTING, OPEN

cdef class Sender(Owner):
    cdef public Driver _driver
    cdef public object _limits
    cdef public Stream _stream
    cdef public object _overflow
    cdef Reactor _reactor
    cdef object _waiters
    cdef int _low_water
    # A byte, where bint would be four, in every idle connection.
    cdef public unsigned char _is_closing

    @cython.locals(driver=Driver, stream=Stream)
    cpdef bint send(self, object data) except -1
    @cython.locals(driver=Driver, stream=Stream)
    cpdef bint send_shared(self, SharedMessage message) except -1
    cpdef object offer(self, SharedMessage message)
