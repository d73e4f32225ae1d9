// See hooks.hpp.
#include "streams/hooks.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

#include <new>

namespace bucle::streams {
namespace {

// Methods that its own functions call; then those that it is fed by; then attributes.
constexpr const char* kNames[] = {
    "_wait_for_data", "_wakeup_waiter", "_maybe_resume_transport",
    "read",           "readline",       "readuntil",
    "feed_data",      "feed_eof",       "exception",
    "set_exception",  "set_transport",  "_limit",
    "_loop",          "_buffer",        "_eof",
    "_waiter",        "_exception",     "_transport",
    "_paused",
};
constexpr int kActing = 6;
constexpr int kMethods = 11;
constexpr int kHooks = sizeof(kNames) / sizeof(kNames[0]);

// What was found of one type, which was in that state.
struct Verdict {
    unsigned version = 0; // 0: none
    bool acting = false;
    bool feeding = false;
};

struct Hooks {
    static constexpr unsigned kVerdicts = 8; // a power of two

    PyObject* names[kHooks] = {};
    PyObject* native[kHooks] = {};
    Verdict verdicts[kVerdicts];
};

Hooks& hooks() noexcept {
    return *static_cast<Hooks*>(py::state().reader_hooks);
}

Verdict examine(PyTypeObject* type) noexcept {
    Verdict verdict;
    if (type->tp_getattro != PyObject_GenericGetAttr ||
        type->tp_setattro != PyObject_GenericSetAttr) {
        return verdict; // has attributes by rules of its own
    }
    const py::ErrorScope keep;
    verdict.acting = verdict.feeding = true;
    for (int i = 0; i != kHooks; ++i) {
        const py::Ref found = py::get_attr(reinterpret_cast<PyObject*>(type), hooks().names[i]);
        PyErr_Clear();
        if (found.get() != hooks().native[i]) {
            verdict.feeding = false;
            verdict.acting &= i >= kActing && i < kMethods;
        }
    }
    // Looking up has numbered the type, unless the interpreter has run out of numbers.
    verdict.version = py::compat::type_version(type);
    return verdict;
}

bool has_own(PyObject* self, int methods) noexcept {
    PyObject* const dict = py::compat::instance_dict(self);
    if (dict == nullptr || PyDict_GET_SIZE(dict) == 0) {
        return false;
    }
    for (int i = 0; i != methods; ++i) {
        const int found = PyDict_Contains(dict, hooks().names[i]);
        if (found != 0) {
            PyErr_Clear();
            return true;
        }
    }
    return false;
}

} // namespace

namespace detail {

bool nothing_replaced(PyObject* self, bool feeding) noexcept {
    PyTypeObject* const type = Py_TYPE(self);
    if (PyType_IsSubtype(type, py::state().stream_reader_type) == 0) {
        return false;
    }
    const unsigned version = py::compat::type_version(type);
    Verdict verdict = hooks().verdicts[version % Hooks::kVerdicts];
    if (version == 0 || verdict.version != version) {
        verdict = examine(type);
        if (verdict.version != 0) {
            hooks().verdicts[verdict.version % Hooks::kVerdicts] = verdict;
        }
    }
    return (feeding ? verdict.feeding : verdict.acting) &&
           !has_own(self, feeding ? kMethods : kActing);
}

} // namespace detail

bool remember_native_hooks() noexcept {
    auto* const made = new (std::nothrow) Hooks;
    py::state().reader_hooks = made;
    if (made == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    auto* const type = reinterpret_cast<PyObject*>(py::state().stream_reader_type);
    for (int i = 0; i != kHooks; ++i) {
        made->names[i] = PyUnicode_InternFromString(kNames[i]);
        made->native[i] =
            made->names[i] == nullptr ? nullptr : PyObject_GetAttr(type, made->names[i]);
        if (made->native[i] == nullptr) {
            return false;
        }
    }
    return true;
}

} // namespace bucle::streams
