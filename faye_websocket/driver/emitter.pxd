"""The C types of ``emitter.py``, and no logic."""

cdef class EventEmitter:
    cdef dict _listeners
    cdef public object observer

    cpdef emit_message(self, object data)
