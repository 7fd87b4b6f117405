"""The C types of ``emitter.py``, and no logic."""

cdef class Observer:
    cpdef message(self, object data)

cdef class EventEmitter:
    cdef dict _listeners
    cdef public Observer observer

    cpdef emit_message(self, object data)
