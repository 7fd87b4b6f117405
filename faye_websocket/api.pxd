"""The C types of ``api.py``, and no logic."""

from .io.connection cimport Connection
from .events cimport EventTarget

cdef class API(EventTarget):
    cdef public Connection _connection

cpdef object to_data(object message)
