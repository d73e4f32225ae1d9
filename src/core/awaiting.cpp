// See awaiting.hpp.
#include "core/awaiting.hpp"

#include "core/coroutine.hpp"
#include "core/future.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/lent_stop.hpp"

namespace bucle::core {
namespace {

// A value for throw(), or an error set. `value` null: none was given.
py::Ref make_thrown(PyObject* type, PyObject* value) noexcept {
    if (PyExceptionClass_Check(type)) {
        const int is_one = value == nullptr ? 0 : PyObject_IsInstance(value, type);
        if (is_one != 0) {
            return is_one > 0 ? py::Ref::borrow(value) : py::Ref();
        }
        py::Ref exception;
        if (value != nullptr && PyTuple_Check(value)) {
            exception = py::Ref::steal(PyObject_Call(type, value, nullptr));
        } else {
            exception = value == nullptr ? py::call(type) : py::call(type, value);
        }
        if (exception && !PyExceptionInstance_Check(exception.get())) {
            py::raise_type_error("calling the exception class did not give an exception instance");
            return {};
        }
        return exception;
    }
    if (!PyExceptionInstance_Check(type)) {
        py::raise_type_error(
            "exceptions must be classes deriving BaseException or instances of such a class");
        return {};
    }
    if (value != nullptr) {
        py::raise_type_error("instance exception may not have a separate value");
        return {};
    }
    return py::Ref::borrow(type);
}

bool is_generator_coroutine(PyObject* object) noexcept {
    if (!PyGen_CheckExact(object)) {
        return false;
    }
    const py::Ref code = py::Ref::steal(PyObject_GetAttrString(object, "gi_code"));
    if (!code || !PyCode_Check(code.get())) {
        PyErr_Clear();
        return false;
    }
    return (reinterpret_cast<PyCodeObject*>(code.get())->co_flags & CO_ITERABLE_COROUTINE) != 0;
}

} // namespace

py::Ref awaitable_of(PyObject* object) noexcept {
    if (PyCoro_CheckExact(object)) {
        const py::Ref awaited = py::Ref::steal(PyObject_GetAttrString(object, "cr_await"));
        if (!awaited) {
            return {};
        }
        if (awaited.get() != Py_None) {
            py::raise_runtime_error("coroutine is being awaited already");
            return {};
        }
        return py::Ref::borrow(object);
    }
    if (is_exact_native(object) || is_native_coroutine(object)) {
        unaryfunc const await = Py_TYPE(object)->tp_as_async->am_await;
        return py::Ref::steal(await(object));
    }
    if (is_generator_coroutine(object)) {
        return py::Ref::borrow(object);
    }
    return py::call(py::state().await_anything, object);
}

PySendResult throw_into(PyObject* coro, PyObject* error, PyObject** out) noexcept {
    if (is_native_coroutine(coro)) {
        return coroutine_throw(coro, py::Ref::borrow(error), out);
    }
    *out = py::call_method(coro, py::names().throw_, error).release();
    if (*out != nullptr) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    const py::Ref stop = py::compat::take_exception();
    *out = PyObject_GetAttrString(stop.get(), "value");
    return *out == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
}

PySendResult resume_awaitable(PyObject* awaitable, PyObject* value, py::Ref error,
                              PyObject** out) noexcept {
    *out = nullptr;
    if (!error) {
        return is_exact_native(awaitable) ? future_send(awaitable, value, out)
                                          : PyIter_Send(awaitable, value, out);
    }
    if (PyErr_GivenExceptionMatches(error.get(), PyExc_GeneratorExit) != 0 &&
        !is_exact_native(awaitable)) {
        if (!py::call_method(awaitable, py::names().close)) {
            return PYGEN_ERROR;
        }
    } else if (!is_exact_native(awaitable)) {
        return throw_into(awaitable, error.get(), out);
    }
    py::compat::put_exception(std::move(error));
    return PYGEN_ERROR;
}

PyObject* as_next(PySendResult outcome, PyObject* value) noexcept {
    if (outcome != PYGEN_RETURN) {
        return value;
    }
    const py::Ref held = py::Ref::steal(value);
    if (value == Py_None) {
        return nullptr; // an iterator that ends without an error returns None
    }
    if (value == Py_True) {
        py::lend_stop_iteration(value); // nobody minds where that lives on
    } else {
        py::compat::raise_stop_iteration(value);
    }
    return nullptr;
}

PyObject* as_sent(PySendResult outcome, PyObject* value) noexcept {
    PyObject* const sent = as_next(outcome, value);
    if (sent == nullptr && PyErr_Occurred() == nullptr) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    return sent;
}

py::Ref exception_to_throw(PyObject* const* args, Py_ssize_t nargs) noexcept {
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected %s %d argument%s, got %zd",
                     nargs < 1 ? "at least" : "at most", nargs < 1 ? 1 : 3, nargs < 1 ? "" : "s",
                     nargs);
        return {};
    }
    if (py::compat::kThrowSignatureDeprecated && nargs > 1 &&
        PyErr_WarnEx(PyExc_DeprecationWarning,
                     "the (type, exc, tb) signature of throw() is deprecated, "
                     "use the single-arg signature instead.",
                     1) < 0) {
        return {};
    }
    PyObject* const value = nargs > 1 && args[1] != Py_None ? args[1] : nullptr;
    PyObject* const traceback = nargs > 2 && args[2] != Py_None ? args[2] : nullptr;
    if (traceback != nullptr && !PyTraceBack_Check(traceback)) {
        py::raise_type_error("throw() third argument must be a traceback");
        return {};
    }
    py::Ref exception = make_thrown(args[0], value);
    if (exception && traceback != nullptr &&
        PyException_SetTraceback(exception.get(), traceback) < 0) {
        return {};
    }
    return exception;
}

} // namespace bucle::core
