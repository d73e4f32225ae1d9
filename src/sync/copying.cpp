// Copies and pickles of primitives, and `vars()`: the attributes that asyncio's objects have, by
// name and value, so that what worked with those works, and what failed (a bound loop, somebody who
// waits) fails. See get_dict in primitive.hpp.
#include "py/call.hpp"
#include "py/error.hpp"
#include "sync/primitive.hpp"

#include <algorithm>
#include <cstring>

namespace bucle::sync {
namespace {

bool is_dict_row(const PyGetSetDef& row) noexcept {
    return std::strcmp(row.name, "__dict__") == 0;
}

// Puts one attribute into the dict, or takes it out where the object has none of that name.
bool refresh(PyObject* self, PyObject* dict, const PyGetSetDef& row) noexcept {
    const py::Ref value = py::Ref::steal(row.get(self, row.closure));
    if (!value && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return false;
    }
    PyErr_Clear();
    // Interned: the interpreter's cache of attributes goes by identity.
    const py::Ref name = py::Ref::steal(PyUnicode_InternFromString(row.name));
    if (!name) {
        return false;
    }
    if (value && (value.get() != Py_None || std::strcmp(row.name, "_loop") != 0)) {
        return PyDict_SetItem(dict, name.get(), value.get()) == 0;
    }
    if (PyDict_DelItem(dict, name.get()) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return false;
        }
        PyErr_Clear();
    }
    return true;
}

bool is_ours(PyObject* self, PyObject* name) noexcept {
    const py::Ref found = py::get_optional_attr(reinterpret_cast<PyObject*>(Py_TYPE(self)), name);
    PyErr_Clear();
    return found && Py_TYPE(found.get()) == &PyGetSetDescr_Type;
}

// What object.__setstate__ would do, were there one; properties are set, as they cannot stand in
// the dict.
bool put_attributes(PyObject* self, PyObject* dict, PyObject* values) noexcept {
    const py::Ref copy = py::call(reinterpret_cast<PyObject*>(&PyDict_Type), values);
    PyObject *name = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    while (copy && PyDict_Next(copy.get(), &at, &name, &value) != 0) {
        if (is_ours(self, name) ? PyObject_GenericSetAttr(self, name, value) < 0
                                : PyDict_SetItem(dict, name, value) < 0) {
            return false;
        }
    }
    return static_cast<bool>(copy);
}

PyObject* base_method(const char* name) noexcept {
    return PyObject_GetAttrString(reinterpret_cast<PyObject*>(&PyBaseObject_Type), name);
}

PyObject* get_state(PyObject* self, PyObject*) noexcept {
    const py::Ref refreshed = py::Ref::steal(PyObject_GetAttrString(self, "__dict__"));
    const py::Ref inherited = refreshed ? py::Ref::steal(base_method("__getstate__")) : py::Ref();
    return inherited ? py::call(inherited.get(), self).release() : nullptr;
}

PyObject* set_state(PyObject* self, PyObject* state) noexcept {
    PyObject* values = state;
    PyObject* slots = nullptr;
    if (PyTuple_Check(state) && PyTuple_GET_SIZE(state) == 2) {
        values = PyTuple_GET_ITEM(state, 0);
        slots = PyTuple_GET_ITEM(state, 1);
    }
    const py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    if (!dict || (values != Py_None && !put_attributes(self, dict.get(), values))) {
        return nullptr;
    }
    PyObject *name = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    const bool has_slots = slots != nullptr && PyDict_Check(slots);
    const py::Ref copied = has_slots ? py::Ref::steal(PyDict_Copy(slots)) : py::Ref();
    if (has_slots && !copied) {
        return nullptr;
    }
    while (copied && PyDict_Next(copied.get(), &at, &name, &value) != 0) {
        if (PyObject_SetAttr(self, name, value) < 0) {
            return nullptr;
        }
    }
    Py_RETURN_NONE;
}

// The protocols before 2 know nothing of a native base; what they are given here is what 2 has.
PyObject* reduce_ex(PyObject* self, PyObject* protocol) noexcept {
    constexpr long kWithState = 2;
    const long wanted = PyLong_AsLong(protocol);
    if (wanted == -1 && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    const py::Ref number = py::Ref::steal(PyLong_FromLong(std::max(wanted, kWithState)));
    const py::Ref inherited = number ? py::Ref::steal(base_method("__reduce_ex__")) : py::Ref();
    return inherited ? py::call(inherited.get(), self, number.get()).release() : nullptr;
}

} // namespace

PyObject* get_dict(PyObject* self, void* table) noexcept {
    py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    for (const auto* row = static_cast<const PyGetSetDef*>(table); dict && row->name != nullptr;
         ++row) {
        if (!is_dict_row(*row) && !refresh(self, dict.get(), *row)) {
            return nullptr;
        }
    }
    return dict.release();
}

int set_dict(PyObject* self, PyObject* value, void*) noexcept {
    if (PyObject_GenericSetDict(self, value, nullptr) < 0) {
        return -1;
    }
    return put_attributes(self, value, value) ? 0 : -1;
}

PyMethodDef copying_methods[] = {
    {"__getstate__", get_state, METH_NOARGS,
     "__getstate__($self, /)\n--\n\n"
     "What copies and pickles are made from."},
    {"__setstate__", set_state, METH_O,
     "__setstate__($self, state, /)\n--\n\n"
     "Take over what __getstate__() gave."},
    {"__reduce_ex__", reduce_ex, METH_O,
     "__reduce_ex__($self, protocol, /)\n--\n\n"
     "Helper for pickle."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace bucle::sync
