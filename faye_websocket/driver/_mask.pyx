"""The functions of ``mask`` for the compiled codec.

Each of them makes one bytes object at most, and no other object. They do not check
their arguments: ``codec`` ensures that a masking key has four bytes, and that the range
from ``start`` to ``end`` lies within the buffer.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_GET_LENGTH
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .text import encode_text


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    void *PyUnicode_DATA(object text) noexcept


cdef void xor(char *to, const char *source, Py_ssize_t length, const char *masking_key, int turn) noexcept nogil:
    """XOR eight bytes at a time, at any alignment. Compilers vectorize the loop."""
    cdef char[8] keys
    cdef uint64_t key, word
    cdef Py_ssize_t index
    for index in range(8):
        keys[index] = masking_key[(turn + index) % 4]
    memcpy(&key, keys, 8)
    for index in range(0, length - 7, 8):
        memcpy(&word, source + index, 8)
        word ^= key
        memcpy(to + index, &word, 8)
    for index in range(length & ~7, length):
        to[index] = source[index] ^ keys[index & 7]


cdef bytes cut(bytes buffer, Py_ssize_t start, Py_ssize_t end, bytes masking_key, long long offset):
    """Return the bytes from ``start`` to ``end``, unmasked if there is a key.

    They begin ``offset`` bytes into their payload.
    """
    if masking_key is None:
        # A slice object would be one more object.
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(buffer) + start, end - start)
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, end - start)
    xor(PyBytes_AS_STRING(payload), PyBytes_AS_STRING(buffer) + start, end - start, PyBytes_AS_STRING(masking_key), offset % 4)
    return payload


cdef object encode(str message):
    """Return a text as a payload for ``join``.

    ASCII is returned unchanged, since its bytes in memory are UTF-8.
    """
    if PyUnicode_IS_COMPACT_ASCII(message):
        return message
    try:
        return PyUnicode_AsUTF8String(message)
    except UnicodeEncodeError:
        return encode_text(message)


cdef bytes join(int first, int second, int size, object payload, bytes masking_key):
    """Return a frame from its first two bytes, its masking key and its payload.

    The length of the payload is written in ``size`` bytes behind the first two.
    """
    cdef Py_buffer view
    if type(payload) is str:
        return join_bytes(
            first, second, size, <const char *>PyUnicode_DATA(payload), PyUnicode_GET_LENGTH(payload), masking_key)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        return join_bytes(first, second, size, <const char *>view.buf, view.len, masking_key)
    finally:
        PyBuffer_Release(&view)


cdef bytes join_bytes(int first, int second, int size, const char *payload, Py_ssize_t length, bytes masking_key):
    """Return a frame as ``join`` does, from the bytes of any object."""
    cdef Py_ssize_t start = 2 + size + (0 if masking_key is None else 4)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, start + length)
    cdef char *to = PyBytes_AS_STRING(frame)
    cdef int index
    to[0] = <char>first
    to[1] = <char>second
    for index in range(size):
        to[2 + index] = <char>(<uint64_t>length >> 8 * (size - 1 - index))
    if masking_key is None:
        memcpy(to + start, payload, length)
    else:
        memcpy(to + start - 4, PyBytes_AS_STRING(masking_key), 4)
        xor(to + start, payload, length, PyBytes_AS_STRING(masking_key), 0)
    return frame
