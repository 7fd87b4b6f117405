"""The C types of ``client.py``, and no logic."""

from .hybi cimport Hybi

cdef list _masking_keys

cdef bytes _next_masking_key()

cdef class Client(Hybi):
    cdef bytes _chunks
    cdef object _key
    cdef object _offered
    cdef object _offered_extensions
    cdef object _redirect
    cdef object _response_parser
    cdef object _url
    cdef public object body
    cdef public object status

    cpdef parse(self, bytes chunk)
    cpdef bytes _masking_key(self)
