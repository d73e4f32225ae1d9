// See queue_hooks.hpp.
#include "sync/queue_hooks.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::sync {
namespace {

PyObject* name_of(Hook hook) noexcept {
    using py::Names;
    static constexpr PyObject* Names::* kInOrder[kHooks] = {
        &Names::full,       &Names::empty,      &Names::qsize,
        &Names::put_nowait, &Names::get_nowait, &Names::_wakeup_next,
        &Names::_get_loop,  &Names::_put,       &Names::_get};
    return py::names().*kInOrder[static_cast<int>(hook)];
}

// What was found of one type, which was in that state.
struct Verdict {
    unsigned version = 0; // 0: none
    Kind kind[kHooks] = {};
};

struct Hooks {
    static constexpr unsigned kVerdicts = 16; // a power of two

    PyObject* native[kHooks][3] = {}; // of the types of each kind, fifo first
    Verdict verdicts[kVerdicts];
};

Hooks& hooks() noexcept {
    return *static_cast<Hooks*>(py::state().queue_hooks);
}

Verdict examine(PyTypeObject* type) noexcept {
    Verdict verdict;
    if (type->tp_getattro != PyObject_GenericGetAttr) {
        return verdict; // has attributes by rules of its own
    }
    const py::ErrorScope keep;
    for (int i = 0; i != kHooks; ++i) {
        const py::Ref found =
            py::get_attr(reinterpret_cast<PyObject*>(type), name_of(static_cast<Hook>(i)));
        PyErr_Clear();
        for (int kind = 0; found && kind != 3; ++kind) {
            if (found.get() == hooks().native[i][kind]) {
                verdict.kind[i] = static_cast<Kind>(kind + static_cast<int>(Kind::fifo));
                break;
            }
        }
    }
    // Looking up has numbered the type, unless the interpreter has run out of numbers.
    verdict.version = py::compat::type_version(type);
    return verdict;
}

bool has_attribute(PyObject* self, PyObject* name) noexcept {
    PyObject* const dict = py::compat::instance_dict(self);
    if (dict == nullptr || PyDict_GET_SIZE(dict) == 0) {
        return false;
    }
    const int found = PyDict_Contains(dict, name);
    if (found < 0) {
        PyErr_Clear();
    }
    return found != 0;
}

} // namespace

namespace detail {

Kind kind_by_hook(PyObject* self, Hook hook) noexcept {
    PyTypeObject* const type = Py_TYPE(self);
    const unsigned version = py::compat::type_version(type);
    Verdict& known = hooks().verdicts[version % Hooks::kVerdicts];
    Kind kind = Kind::by_name;
    if (version != 0 && known.version == version) [[likely]] {
        kind = known.kind[static_cast<int>(hook)];
    } else {
        const Verdict verdict = examine(type);
        kind = verdict.kind[static_cast<int>(hook)];
        if (verdict.version != 0) {
            hooks().verdicts[verdict.version % Hooks::kVerdicts] = verdict;
        }
    }
    return kind != Kind::by_name && has_attribute(self, name_of(hook)) ? Kind::by_name : kind;
}

bool is_native(PyObject* self, Hook hook) noexcept {
    return kind_by_hook(self, hook) != Kind::by_name;
}

} // namespace detail

bool remember_native_hooks() noexcept {
    py::State& state = py::state();
    auto* const made = new (std::nothrow) Hooks;
    state.queue_hooks = made;
    if (made == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    PyTypeObject* const types[3] = {state.queue_type, state.lifo_queue_type,
                                    state.priority_queue_type};
    for (int i = 0; i != kHooks; ++i) {
        for (int kind = 0; kind != 3; ++kind) {
            made->native[i][kind] = PyObject_GetAttr(reinterpret_cast<PyObject*>(types[kind]),
                                                     name_of(static_cast<Hook>(i)));
            if (made->native[i][kind] == nullptr) {
                return false;
            }
        }
    }
    return true;
}

} // namespace bucle::sync
