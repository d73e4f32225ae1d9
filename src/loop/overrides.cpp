// What users replace on a loop: an attribute of the instance (loop.time = fake), a method of a
// subclass, an attribute of the class set later. Native code that would not look the name up asks
// a flag instead; the flags are computed when a loop is made and whenever one of these is written.
#include "loop/loop.hpp"

#include "py/call.hpp"

namespace bucle::loop {
namespace {

// The native descriptors to compare with, by interpreter (State::native_loop_methods, a dict).
// The classes' dicts are looked at, not their attributes: no descriptor of a user's runs, and
// comparing is all that is wanted. 1 overridden, 0 not, -1 error.
int is_overridden(PyObject* loop, PyObject* dict, PyObject* name) noexcept {
    const int contains = PyDict_Contains(dict, name);
    if (contains != 0) {
        return contains;
    }
    const py::Ref bases = py::Ref::borrow(Py_TYPE(loop)->tp_mro);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(bases.get()); ++i) {
        PyObject* base = PyTuple_GET_ITEM(bases.get(), i);
        PyObject* of_class = reinterpret_cast<PyTypeObject*>(base)->tp_dict;
        PyObject* present = of_class == nullptr ? nullptr : PyDict_GetItemWithError(of_class, name);
        if (present != nullptr) {
            PyObject* native = PyDict_GetItemWithError(py::state().native_loop_methods, name);
            return present != native ? 1 : 0;
        }
        if (PyErr_Occurred() != nullptr) {
            return -1;
        }
    }
    return 1; // taken off the class
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

bool refresh_overrides(PyObject* loop) noexcept {
    const py::Names& names = py::names();
    LoopCore& core = *loop_core(loop);
    py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(loop, nullptr));
    if (!dict) {
        return false;
    }
    const int call_soon = is_overridden(loop, dict.get(), names.call_soon);
    const int time = call_soon < 0 ? -1 : is_overridden(loop, dict.get(), names.time);
    const int call_at = time < 0 ? -1 : is_overridden(loop, dict.get(), names.call_at);
    const int run_forever = call_at < 0 ? -1 : is_overridden(loop, dict.get(), names.run_forever);
    if (run_forever < 0) {
        return false;
    }
    core.gate =
        static_cast<std::uint8_t>((core.gate & ~core::Scheduler::kCallSoonOverridden) |
                                  (call_soon != 0 ? core::Scheduler::kCallSoonOverridden : 0));
    core.time_overridden = time != 0;
    core.call_at_overridden = call_at != 0;
    core.run_forever_overridden = run_forever != 0;
    return true;
}

int set_loop_attribute(PyObject* self, PyObject* name, PyObject* value) noexcept {
    if (PyObject_GenericSetAttr(self, name, value) < 0) {
        return -1;
    }
    const py::Names& names = py::names();
    for (PyObject* watched : {names.call_soon, names.time, names.call_at, names.run_forever}) {
        if (name == watched || PyUnicode_Compare(name, watched) == 0) {
            return refresh_overrides(self) ? 0 : -1;
        }
    }
    return 0;
}

} // namespace bucle::loop
