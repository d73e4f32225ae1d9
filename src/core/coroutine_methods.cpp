// What Python sees of a native coroutine: the methods and attributes of the interpreter's own, so
// that asyncio, inspect, call graphs and debuggers take it for one. `__class__` says CoroutineType,
// as a mock's would: inspect.iscoroutine() asks by isinstance.
#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "core/stand_in.hpp"
#include "py/args.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

Coroutine& as_coroutine(PyObject* self) noexcept {
    return *reinterpret_cast<Coroutine*>(self);
}

PyObject* send(PyObject* self, PyObject* value) noexcept {
    PyObject* out = nullptr;
    const PySendResult outcome = coroutine_send(self, value, &out);
    return as_sent(outcome, out);
}

PyObject* close(PyObject* self, PyObject*) noexcept {
    return coroutine_close(self) ? py::new_ref(Py_None) : nullptr;
}

PyObject* await_method(PyObject* self, PyObject*) noexcept {
    return make_coroutine_wrapper(self);
}

PyObject* get_class(PyObject*, void*) noexcept {
    return py::new_ref(reinterpret_cast<PyObject*>(&PyCoro_Type));
}

PyObject* of_function(PyObject* self, const char* name) noexcept {
    return PyObject_GetAttrString(as_coroutine(self).function.get(), name);
}

PyObject* get_name(PyObject* self, void*) noexcept {
    return of_function(self, "__name__");
}

PyObject* get_qualname(PyObject* self, void*) noexcept {
    return of_function(self, "__qualname__");
}

PyObject* get_code(PyObject* self, void*) noexcept {
    return of_function(self, "__code__");
}

PyObject* get_await(PyObject* self, void*) noexcept {
    return py::value_or_none(as_coroutine(self).waiting.get());
}

PyObject* get_running(PyObject* self, void*) noexcept {
    return PyBool_FromLong(as_coroutine(self).state == Coroutine::State::running);
}

PyObject* get_suspended(PyObject* self, void*) noexcept {
    return PyBool_FromLong(as_coroutine(self).state == Coroutine::State::suspended);
}

// What inspect.getcoroutinestate() returns from 3.15 on.
PyObject* get_state(PyObject* self, void*) noexcept {
    static constexpr const char* kNames[] = {"CORO_CREATED", "CORO_SUSPENDED", "CORO_RUNNING",
                                             "CORO_CLOSED"};
    return PyUnicode_InternFromString(kNames[static_cast<int>(as_coroutine(self).state)]);
}

PyObject* get_origin(PyObject* self, void*) noexcept {
    return py::value_or_none(as_coroutine(self).origin.get());
}

// A frame that never ran, for those who print where a coroutine stands: the head of the function.
PyObject* get_frame(PyObject* self, void*) noexcept {
    const Coroutine& co = as_coroutine(self);
    if (co.state == Coroutine::State::closed) {
        Py_RETURN_NONE;
    }
    PyObject* const shown = stand_in_of(py::as_function(co.function.get()));
    return shown == nullptr ? nullptr : PyObject_GetAttrString(shown, "cr_frame");
}

} // namespace

PyObject* coroutine_repr(PyObject* self) noexcept {
    const py::Ref name = py::Ref::steal(get_qualname(self, nullptr));
    return name ? PyUnicode_FromFormat("<coroutine object %U at %p>", name.get(), self) : nullptr;
}

void warn_never_awaited(PyObject* self) noexcept {
    // What the interpreter calls for its own: it tells the origin, too.
    const py::Ref warnings = py::Ref::steal(PyImport_ImportModule("warnings"));
    const py::Ref warn =
        warnings
            ? py::Ref::steal(PyObject_GetAttrString(warnings.get(), "_warn_unawaited_coroutine"))
            : py::Ref();
    if (!warn || !py::call(warn.get(), self)) {
        PyErr_WriteUnraisable(self);
    }
}

PyMethodDef coroutine_methods[] = {
    {"send", send, METH_O,
     "send($self, value, /)\n--\n\n"
     "Resume the coroutine; return what it yields next, or raise StopIteration."},
    {"throw", py::as_method(coroutine_throw_method), METH_FASTCALL,
     "throw($self, type, value=None, traceback=None, /)\n--\n\n"
     "Raise an exception where the coroutine stands."},
    {"close", close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Raise GeneratorExit where the coroutine stands, and end it."},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef coroutine_await[] = {
    {"__await__", await_method, METH_NOARGS,
     "__await__($self, /)\n--\n\n"
     "Return an iterator to be used in an await expression."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef coroutine_getset[] = {
    {"__class__", get_class, nullptr, nullptr, nullptr},
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_qualname, nullptr, nullptr, nullptr},
    {"cr_await", get_await, nullptr, nullptr, nullptr},
    {"cr_code", get_code, nullptr, nullptr, nullptr},
    {"cr_frame", get_frame, nullptr, nullptr, nullptr},
    {"cr_origin", get_origin, nullptr, nullptr, nullptr},
    {"cr_running", get_running, nullptr, nullptr, nullptr},
    {"cr_state", get_state, nullptr, nullptr, nullptr},
    {"cr_suspended", get_suspended, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace bucle::core
