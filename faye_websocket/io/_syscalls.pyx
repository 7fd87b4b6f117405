"""``syscalls`` for the compiled form."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno

cdef extern from *:
    """
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #define WRITE_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
    """
    int MSG_DONTWAIT, WRITE_FLAGS

cdef extern from "sys/socket.h" nogil:
    ssize_t _recv "recv"(int descriptor, void *buffer, size_t size, int flags)
    ssize_t _send "send"(int descriptor, const void *buffer, size_t size, int flags)

# More than this is worth letting other threads run meanwhile. It is SMALL_READ of
# ``syscalls.py``.
cdef enum:
    SMALL = 16384

# Filled and emptied without letting go of the interpreter's lock, so one is enough.
cdef char[SMALL] _buffer


cdef bytes recv(object transport, int descriptor, Py_ssize_t size):
    if descriptor < 0 or size > SMALL:
        if descriptor < 0:
            return transport.recv(size)
        return transport.recv(size, MSG_DONTWAIT)
    cdef ssize_t count = -1
    while count < 0:
        count = _recv(descriptor, _buffer, size, MSG_DONTWAIT)
        if count < 0:
            _check_errno()
    return PyBytes_FromStringAndSize(_buffer, count)


cdef Py_ssize_t send(object transport, int descriptor, object data) except -1:
    if descriptor < 0 or type(data) is not bytes or PyBytes_GET_SIZE(data) > SMALL:
        if descriptor < 0:
            return transport.send(data)
        return transport.send(data, WRITE_FLAGS)
    cdef ssize_t count = -1
    while count < 0:
        count = _send(
            descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), WRITE_FLAGS)
        if count < 0:
            _check_errno()
    return count


cdef Py_ssize_t sendmsg(object transport, int descriptor, tuple parts) except -1:
    if descriptor < 0:
        return transport.sendmsg(parts)
    return transport.sendmsg(parts, (), WRITE_FLAGS)


cdef int _check_errno() except -1:
    """Raise the OSError of a failed call, or run the handlers of a signal."""
    if errno != EINTR:
        PyErr_SetFromErrno(OSError)
    return PyErr_CheckSignals()
