"""``interpreter`` for the compiled modules: CPython's own names, and no logic."""

from cpython.object cimport PyObject

cdef extern from "Python.h":
    unsigned long get_ident "PyThread_get_thread_ident"() noexcept
    Py_ssize_t count_references "Py_REFCNT"(object thing) noexcept
    ctypedef struct PyThreadState:
        PyObject *context
    PyThreadState *_thread_state "PyThreadState_Get"() noexcept
    PyObject **_list_of_weak_references "PyObject_GET_WEAKREFS_LISTPTR"(PyObject *thing) noexcept

cdef inline bint has_context(object current) noexcept:
    return _thread_state().context != NULL

cdef inline bint has_weak_references(object thing) noexcept:
    return _list_of_weak_references(<PyObject *>thing)[0] != NULL

cdef extern from *:
    """
    /* What sys.getsizeof says of bytes, and of a str whose UTF-8 form nobody has asked for. */
    static CYTHON_INLINE Py_ssize_t fws_get_size(PyObject *data) {
        if (PyBytes_Check(data))
            return (Py_ssize_t)offsetof(PyBytesObject, ob_sval) + 1 + PyBytes_GET_SIZE(data);
        if (PyUnicode_IS_COMPACT_ASCII(data))
            return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(data) + 1;
        return (Py_ssize_t)sizeof(PyCompactUnicodeObject)
            + (PyUnicode_GET_LENGTH(data) + 1) * (Py_ssize_t)PyUnicode_KIND(data);
    }
    """
    Py_ssize_t get_size "fws_get_size"(object data) noexcept
