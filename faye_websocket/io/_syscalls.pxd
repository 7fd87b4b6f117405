"""The functions of ``_syscalls`` for ``stream``."""

cdef bytes recv(object transport, int descriptor, Py_ssize_t size)
cdef Py_ssize_t send(object transport, int descriptor, object data) except -1
cdef Py_ssize_t sendmsg(object transport, int descriptor, tuple parts) except -1
