"""The C types of ``environ.py``, and no logic."""

cdef str _SEPARATOR

cdef class PackedEnviron:
    cdef tuple _names
    cdef tuple _others
    cdef str _text
