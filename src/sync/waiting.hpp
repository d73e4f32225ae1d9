// Waiting: the fields that every primitive with waiters begins with; and the properties through
// which Python sees the fields of a Core.
#pragma once

#include "py/error.hpp"
#include "sync/count.hpp"
#include "sync/deque.hpp"
#include "sync/primitive.hpp"

namespace bucle::sync {

struct Waiting {
    Deque waiters;
    py::Ref loop;

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = waiters.visit(visitor, arg);
        return stop != 0 ? stop : loop.visit(visitor, arg);
    }
    void clear() noexcept {
        waiters.clear();
        loop.reset();
    }
};

// asyncio makes the deque with the object...
template <class Core>
PyObject* get_waiters(PyObject* self, void*) noexcept {
    return core_of<Core>(self).waiters.as_python().release();
}

// ... or when somebody waits for the first time.
template <class Core>
PyObject* get_waiters_or_none(PyObject* self, void*) noexcept {
    Deque& waiters = core_of<Core>(self).waiters;
    return waiters.untouched() ? py::new_ref(Py_None) : waiters.as_python().release();
}

template <class Core>
int set_waiters(PyObject* self, PyObject* value, void*) noexcept {
    core_of<Core>(self).waiters.replace(value == Py_None ? nullptr : value);
    return 0;
}

template <class Core>
PyObject* get_loop(PyObject* self, void*) noexcept {
    return py::value_or_none(core_of<Core>(self).loop.get());
}

template <class Core>
int set_loop(PyObject* self, PyObject* value, void*) noexcept {
    core_of<Core>(self).loop = py::Ref::borrow(value);
    return 0;
}

// A flag of a Core.
template <class Core, bool Core::* Flag>
PyObject* get_flag(PyObject* self, void*) noexcept {
    return PyBool_FromLong(core_of<Core>(self).*Flag);
}

template <class Core, bool Core::* Flag>
int set_flag(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        core_of<Core>(self).*Flag = truth != 0;
    }
    return truth < 0 ? -1 : 0;
}

// A reference of a Core; while there is none it is no attribute either.
template <class Core, py::Ref Core::* Member>
PyObject* get_ref(PyObject* self, void* name) noexcept {
    PyObject* const value = (core_of<Core>(self).*Member).get();
    if (value == nullptr) {
        PyErr_SetString(PyExc_AttributeError, static_cast<const char*>(name));
        return nullptr;
    }
    return py::new_ref(value);
}

template <class Core, py::Ref Core::* Member>
int set_ref(PyObject* self, PyObject* value, void*) noexcept {
    core_of<Core>(self).*Member = py::Ref::borrow(value);
    return 0;
}

template <class Core, Count Core::* Member>
PyObject* get_count(PyObject* self, void*) noexcept {
    return (core_of<Core>(self).*Member).as_python().release();
}

template <class Core, Count Core::* Member>
int set_count(PyObject* self, PyObject* value, void*) noexcept {
    Count& count = core_of<Core>(self).*Member;
    if (value == nullptr) {
        count.clear();
    } else {
        count.assign(value);
    }
    return 0;
}

} // namespace bucle::sync
