// The properties through which Python sees the fields of a Core, and changes them: one row of a
// table of getsets each. What is not there is no attribute.
#pragma once

#include "py/error.hpp"
#include "sync/count.hpp"
#include "sync/deque.hpp"
#include "sync/flag.hpp"
#include "sync/primitive.hpp"

namespace bucle::sync {

namespace detail {

inline PyObject* value_or_missing(PyObject* self, PyObject* value, const char* name) noexcept {
    return value == nullptr ? py::raise_no_attribute(self, name) : py::new_ref(value);
}

inline PyObject* show(PyObject*, bool flag, const char*) noexcept {
    return PyBool_FromLong(flag);
}
inline PyObject* show(PyObject* self, Flag flag, const char* name) noexcept {
    return flag.missing() ? py::raise_no_attribute(self, name) : PyBool_FromLong(flag.on());
}
inline PyObject* show(PyObject* self, const py::Ref& ref, const char* name) noexcept {
    return value_or_missing(self, ref.get(), name);
}
inline PyObject* show(PyObject* self, const Count& count, const char* name) noexcept {
    return count.missing() ? py::raise_no_attribute(self, name) : count.as_python().release();
}
inline PyObject* show(PyObject*, Deque& deque, const char*) noexcept {
    return deque.as_python().release();
}

// `value` null: the attribute is deleted.
inline bool take(bool& flag, PyObject* value) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        flag = truth != 0;
    }
    return truth >= 0;
}
inline bool take(Flag& flag, PyObject* value) noexcept {
    bool truth = false;
    if (!take(truth, value)) {
        return false;
    }
    flag = truth;
    if (value == nullptr) {
        flag.remove();
    }
    return true;
}
inline bool take(py::Ref& ref, PyObject* value) noexcept {
    ref = py::Ref::borrow(value);
    return true;
}
inline bool take(Count& count, PyObject* value) noexcept {
    if (value == nullptr) {
        count.remove();
    } else {
        count.assign(value);
    }
    return true;
}
inline bool take(Deque& deque, PyObject* value) noexcept {
    deque.replace(value);
    return true;
}

inline PyObject* none_or(const py::Ref& ref) noexcept {
    return py::value_or_none(ref.get());
}
inline PyObject* none_or(Deque& deque) noexcept {
    return deque.untouched() ? py::new_ref(Py_None) : deque.as_python().release();
}

template <class Core, auto Member>
PyObject* get(PyObject* self, void* name) noexcept {
    return show(self, core_of<Core>(self).*Member, static_cast<const char*>(name));
}
template <class Core, auto Member>
int set(PyObject* self, PyObject* value, void*) noexcept {
    return take(core_of<Core>(self).*Member, value) ? 0 : -1;
}

} // namespace detail

template <class Core, auto Member>
PyObject* get_or_none(PyObject* self, void*) noexcept {
    return detail::none_or(core_of<Core>(self).*Member);
}
template <class Core, auto Member>
int set_or_none(PyObject* self, PyObject* value, void*) noexcept {
    return detail::take(core_of<Core>(self).*Member, value == Py_None ? nullptr : value) ? 0 : -1;
}

// A bool, Flag, Ref, Count or Deque; a Deque's is made with the object.
template <class Core, auto Member>
constexpr PyGetSetDef property(const char* name) noexcept {
    return {name, detail::get<Core, Member>, detail::set<Core, Member>, nullptr,
            const_cast<char*>(name)};
}

// A Ref, or a Deque that asyncio makes when somebody waits for the first time: None until then.
template <class Core, auto Member>
constexpr PyGetSetDef optional_property(const char* name) noexcept {
    return {name, get_or_none<Core, Member>, set_or_none<Core, Member>, nullptr, nullptr};
}

// Ends a table. What stands before it is the `__dict__` that the table itself fills: see get_dict.
inline constexpr PyGetSetDef kEndOfProperties = {nullptr, nullptr, nullptr, nullptr, nullptr};

} // namespace bucle::sync
