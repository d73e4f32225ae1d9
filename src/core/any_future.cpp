// See any_future.hpp.
#include "core/any_future.hpp"

#include "py/call.hpp"

namespace bucle::core {
namespace {

FutureCore* native(PyObject* future) noexcept {
    return waits_natively(future) ? future_core(future) : nullptr;
}

} // namespace

namespace detail {

int ask_done(PyObject* future) noexcept {
    if (const FutureCore* const core = native(future)) {
        return core->pending() ? 0 : 1;
    }
    return py::truth_of(py::call_method(future, py::names().done));
}

int ask_cancelled(PyObject* future) noexcept {
    if (const FutureCore* const core = native(future)) {
        return core->state == FutureState::cancelled ? 1 : 0;
    }
    return py::truth_of(py::call_method(future, py::names().cancelled));
}

} // namespace detail

py::Ref exception_of(PyObject* future) noexcept {
    FutureCore* const core = native(future);
    if (core == nullptr || core->state != FutureState::finished) {
        return py::call_method(future, py::names().exception);
    }
    core->log_traceback = false;
    return py::Ref::borrow(core->exception ? core->exception.get() : Py_None);
}

py::Ref result_of(PyObject* future) noexcept {
    FutureCore* const core = native(future);
    return core == nullptr ? py::call_method(future, py::names().result)
                           : future_result(future, *core);
}

py::Ref create_future(PyObject* loop) noexcept {
    if (loop != nullptr && Py_TYPE(loop) == py::state().loop_type) [[likely]] {
        return make_future(loop);
    }
    return py::call_method(loop == nullptr ? Py_None : loop, py::names().create_future);
}

py::Ref cancelled_error_of(PyObject* future) noexcept {
    FutureCore* const core = native(future);
    return core == nullptr
               ? py::Ref::steal(PyObject_CallMethod(future, "_make_cancelled_error", nullptr))
               : make_cancelled_error(*core);
}

bool mark_retrieved(PyObject* future) noexcept {
    const int cancelled = is_cancelled(future);
    return cancelled > 0 || (cancelled == 0 && exception_of(future));
}

bool set_result_of(PyObject* future, PyObject* value) noexcept {
    if (is_exact_future(future)) [[likely]] {
        return future_set_result(future, *future_core(future), value);
    }
    return static_cast<bool>(py::call_method(future, py::names().set_result, value));
}

bool set_exception_of(PyObject* future, PyObject* error) noexcept {
    if (is_exact_future(future)) [[likely]] {
        return future_set_exception(future, *future_core(future), error);
    }
    return static_cast<bool>(py::call_method(future, py::names().set_exception, error));
}

} // namespace bucle::core
