"""The C types of ``pipeline.py``, and no logic."""

from .. cimport _calls as calls

cdef class Message:
    cdef public object data
    cdef public object max_length
    cdef public int opcode
    cdef public int rsv

cdef class Pipeline:
    cdef tuple _extensions
    cdef public tuple _sessions
    cdef public str header
    cdef public int reserved

    cpdef Message process_incoming_message(self, Message message)
    cpdef Message process_outgoing_message(self, Message message)

cdef Message _checked(Message message)
