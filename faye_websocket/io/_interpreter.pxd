"""``interpreter`` for the compiled modules: CPython's own names, and no logic."""

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x03100000 && !defined(Py_GIL_DISABLED) \\
        && !defined(FWS_UNKNOWN_INTERPRETER)

    static CYTHON_INLINE Py_ssize_t fws_count_references(PyObject *thing) {
        return Py_REFCNT(thing);
    }
    static CYTHON_INLINE int fws_has_weak_references(PyObject *thing) {
        return *PyObject_GET_WEAKREFS_LISTPTR(thing) != NULL;
    }
    static CYTHON_INLINE int fws_has_context(PyObject *current) {
        (void)current;
        return PyThreadState_Get()->context != NULL;
    }
    /* The result of sys.getsizeof for bytes, and for a str without a UTF-8 form. */
    static CYTHON_INLINE Py_ssize_t fws_get_size(PyObject *data) {
        if (PyBytes_Check(data))
            return (Py_ssize_t)offsetof(PyBytesObject, ob_sval)
                + 1 + PyBytes_GET_SIZE(data);
        if (PyUnicode_IS_COMPACT_ASCII(data))
            return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(data) + 1;
        return (Py_ssize_t)sizeof(PyCompactUnicodeObject)
            + (PyUnicode_GET_LENGTH(data) + 1) * (Py_ssize_t)PyUnicode_KIND(data);
    }

    #else

    /* An interpreter that no test has seen may count otherwise. See never_twice of
       interpreter.py: that costs speed only. No structure is looked into. */
    static CYTHON_INLINE Py_ssize_t fws_count_references(PyObject *thing) {
        static Py_ssize_t number;
        (void)thing;
        return ++number;
    }
    static CYTHON_INLINE int fws_has_weak_references(PyObject *thing) {
        (void)thing;
        return 1;
    }
    static CYTHON_INLINE int fws_has_context(PyObject *current) {
        (void)current;
        return 1;
    }
    static CYTHON_INLINE Py_ssize_t fws_get_size(PyObject *data) {
        PyObject *size = PyObject_CallMethod(data, "__sizeof__", NULL);
        Py_ssize_t result = size ? PyLong_AsSsize_t(size) : -1;
        Py_XDECREF(size);
        if (result < 0)
            PyErr_Clear();
        return result < 0 ? 0 : result;
    }

    #endif
    """
    unsigned long get_ident "PyThread_get_thread_ident"() noexcept
    Py_ssize_t count_references "fws_count_references"(object thing) noexcept
    bint has_weak_references "fws_has_weak_references"(object thing) noexcept
    bint has_context "fws_has_context"(object current) noexcept
    Py_ssize_t get_size "fws_get_size"(object data) noexcept
