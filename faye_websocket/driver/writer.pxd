"""The C types of ``writer.py``, and no logic."""

from .. cimport _calls as calls

cdef class Writer:
    cpdef write(self, bytes data)
    cpdef write_parts(self, bytes head, object payload)
