"""The C types of ``connection.py``, and no logic."""

from . cimport _interpreter as interpreter
from .receiver cimport Receiver
from .stream cimport Stream

cdef int CLOSED, CONNECTING, OPEN

cdef class Connection(Receiver):
    cdef object _timer

    cpdef rests(self)
