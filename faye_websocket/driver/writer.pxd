"""The C types of ``writer.py``, and no logic."""

cdef class Writer:
    cpdef write(self, bytes data)
    cpdef write_parts(self, bytes head, object payload)
