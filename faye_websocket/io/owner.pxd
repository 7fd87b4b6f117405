"""The C types of ``owner.py``, and no logic."""

from ..driver.emitter cimport Observer

cdef class Owner(Observer):
    cpdef bint received(self, bytes chunk) except -1
    cpdef rests(self)
