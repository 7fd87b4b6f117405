"""The C types of ``packed_environ.py``, and no logic."""

cimport cython

cdef str _SEPARATOR

cdef Py_ssize_t _MOST_KEYS, _MOST_CHARACTERS

@cython.locals(length=Py_ssize_t)
cdef tuple _share(tuple names)

cdef class PackedEnviron:
    cdef tuple _names
    cdef tuple _others
    cdef str _text
