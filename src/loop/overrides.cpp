// What users replace on a loop: an attribute of the instance (loop.time = fake), a method of a
// subclass, an attribute of the class set later. Native code that would not look the name up asks
// a flag instead; the flags are computed when a loop is made and whenever one of these is written.
#include "loop/loop.hpp"

#include "py/call.hpp"

#include <algorithm>
#include <iterator>

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

using NameOf = PyObject* py::Names::*;
constexpr NameOf kFlagged[] = {&py::Names::call_soon, &py::Names::time, &py::Names::call_at,
                               &py::Names::run_forever, &py::Names::call_soon_threadsafe};
// Not looked for before somebody asks: see watches_otherwise().
constexpr NameOf kWatching[] = {&py::Names::create_future, &py::Names::_add_reader,
                                &py::Names::_add_writer, &py::Names::remove_reader,
                                &py::Names::remove_writer};

bool concerns_us(PyObject* name) noexcept {
    const py::Names& names = py::names();
    const auto is_it = [&](NameOf known) noexcept {
        return name == names.*known || PyUnicode_Compare(name, names.*known) == 0;
    };
    return std::ranges::any_of(kFlagged, is_it) || std::ranges::any_of(kWatching, is_it);
}

bool remember(PyTypeObject* type, PyObject* methods, PyObject* name) noexcept {
    const py::Ref native = py::get_attr(reinterpret_cast<PyObject*>(type), name);
    return native && PyDict_SetItem(methods, name, native.get()) == 0;
}

} // namespace

bool remember_native_methods(PyTypeObject* type) noexcept {
    PyObject* const methods = PyDict_New();
    py::state().native_loop_methods = methods;
    const auto add = [&](NameOf name) noexcept {
        return remember(type, methods, py::names().*name);
    };
    return methods != nullptr && std::ranges::all_of(kFlagged, add) &&
           std::ranges::all_of(kWatching, add);
}

bool refresh_overrides(PyObject* loop, bool fresh) noexcept {
    const py::Names& names = py::names();
    LoopCore& core = *loop_core(loop);
    // Asking a loop for its dict makes one, and the interpreter specialises a call of a method only
    // while there is none: 10 to 15 ns for each loop.call_soon() or loop.create_task().
    py::Ref dict = py::Ref::steal(fresh ? PyDict_New() : PyObject_GenericGetDict(loop, nullptr));
    if (!dict) {
        return false;
    }
    bool overridden[std::size(kFlagged)] = {};
    for (std::size_t i = 0; i != std::size(kFlagged); ++i) {
        const int found = is_overridden(loop, dict.get(), names.*kFlagged[i]);
        if (found < 0) {
            return false;
        }
        overridden[i] = found != 0;
    }
    const auto [call_soon, time, call_at, run_forever, threadsafe] = overridden;
    core.gate = static_cast<std::uint8_t>((core.gate & ~core::Scheduler::kCallSoonOverridden) |
                                          (call_soon ? core::Scheduler::kCallSoonOverridden : 0));
    core.time_overridden = time;
    core.call_at_overridden = call_at;
    core.run_forever_overridden = run_forever;
    core.threadsafe_overridden = threadsafe;
    core.watching = Watching::unknown;
    return true;
}

int set_loop_attribute(PyObject* self, PyObject* name, PyObject* value) noexcept {
    if (PyObject_GenericSetAttr(self, name, value) < 0) {
        return -1;
    }
    return !concerns_us(name) || refresh_overrides(self) ? 0 : -1;
}

int watches_otherwise(PyObject* loop) noexcept {
    LoopCore& core = *loop_core(loop);
    if (core.watching != Watching::unknown) [[likely]] {
        return core.watching == Watching::overridden ? 1 : 0;
    }
    const bool has_dict =
        Py_TYPE(loop) != py::state().loop_type || py::compat::may_have_instance_dict(loop);
    const py::Ref dict =
        py::Ref::steal(has_dict ? PyObject_GenericGetDict(loop, nullptr) : PyDict_New());
    int found = dict ? 0 : -1;
    for (const NameOf name : kWatching) {
        found = found != 0 ? found : is_overridden(loop, dict.get(), py::names().*name);
    }
    if (found >= 0) {
        core.watching = found != 0 ? Watching::overridden : Watching::ours;
    }
    return found;
}

} // namespace bucle::loop
