// What users replace on a loop: an attribute of the instance (loop.time = fake), a method of a
// subclass, an attribute of the class set later. Native code that would not look the name up asks
// a flag instead; the flags are computed when a loop is made and whenever one of these is written.
#include "loop/loop.hpp"

#include "py/call.hpp"

namespace bucle::loop {
namespace {

// The native descriptors to compare with, by interpreter (State::native_loop_methods, a dict).
bool is_overridden(PyObject* loop, PyObject* dict, PyObject* name) noexcept {
    if (dict != nullptr) {
        const int contains = PyDict_Contains(dict, name);
        if (contains != 0) {
            PyErr_Clear();
            return contains > 0;
        }
    }
    PyObject* native = PyDict_GetItem(py::state().native_loop_methods, name);
    py::Ref present = py::get_optional_attr(reinterpret_cast<PyObject*>(Py_TYPE(loop)), name);
    PyErr_Clear();
    return present.get() != native;
}

} // namespace

bool remember_native_methods(PyTypeObject* type) noexcept {
    const py::Names& names = py::names();
    PyObject* methods = PyDict_New();
    py::state().native_loop_methods = methods;
    for (PyObject* name : {names.call_soon, names.time, names.call_at, names.run_forever}) {
        py::Ref native =
            methods == nullptr ? py::Ref() : py::get_attr(reinterpret_cast<PyObject*>(type), name);
        if (!native || PyDict_SetItem(methods, name, native.get()) < 0) {
            return false;
        }
    }
    return true;
}

void refresh_overrides(PyObject* loop) noexcept {
    const py::Names& names = py::names();
    LoopCore& core = *loop_core(loop);
    py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(loop, nullptr));
    PyErr_Clear();
    const bool call_soon = is_overridden(loop, dict.get(), names.call_soon);
    core.gate = static_cast<std::uint8_t>((core.gate & ~core::Scheduler::kCallSoonOverridden) |
                                          (call_soon ? core::Scheduler::kCallSoonOverridden : 0));
    core.time_overridden = is_overridden(loop, dict.get(), names.time);
    core.call_at_overridden = is_overridden(loop, dict.get(), names.call_at);
    core.run_forever_overridden = is_overridden(loop, dict.get(), names.run_forever);
}

int set_loop_attribute(PyObject* self, PyObject* name, PyObject* value) noexcept {
    if (PyObject_GenericSetAttr(self, name, value) < 0) {
        return -1;
    }
    const py::Names& names = py::names();
    for (PyObject* watched : {names.call_soon, names.time, names.call_at, names.run_forever}) {
        if (name == watched || PyUnicode_Compare(name, watched) == 0) {
            refresh_overrides(self);
            break;
        }
    }
    return 0;
}

} // namespace bucle::loop
