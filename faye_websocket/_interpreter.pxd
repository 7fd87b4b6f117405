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
