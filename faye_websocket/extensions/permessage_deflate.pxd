"""The C types of ``permessage_deflate.py``, and no logic."""

cimport cython

from .inflater cimport Inflater
from .pipeline cimport Message

cdef int _RSV1

cdef class _Session:
    cdef public object _agreement
    cdef public object _deflater
    cdef public Inflater _inflater

    cpdef Message process_outgoing_message(self, Message message)
    cpdef Message process_incoming_message(self, Message message)
    cdef bytes _deflate(self, bytes data)
    @cython.locals(inflater=Inflater)
    cdef bytes _inflate(self, bytes data, object max_length)
