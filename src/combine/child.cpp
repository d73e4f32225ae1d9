// See child.hpp.
#include "combine/child.hpp"

#include "core/coroutine.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

core::FutureCore* native(PyObject* future) noexcept {
    return core::waits_natively(future) ? core::future_core(future) : nullptr;
}

int truth(py::Ref answer) noexcept {
    return answer ? PyObject_IsTrue(answer.get()) : -1;
}

} // namespace

int is_done(PyObject* future) noexcept {
    if (const core::FutureCore* const core = native(future)) {
        return core->pending() ? 0 : 1;
    }
    return truth(py::call_method(future, py::names().done));
}

int is_cancelled(PyObject* future) noexcept {
    if (const core::FutureCore* const core = native(future)) {
        return core->state == core::FutureState::cancelled ? 1 : 0;
    }
    return truth(py::call_method(future, py::names().cancelled));
}

py::Ref exception_of(PyObject* future) noexcept {
    core::FutureCore* const core = native(future);
    if (core == nullptr || core->state != core::FutureState::finished) {
        return py::call_method(future, py::names().exception);
    }
    core->log_traceback = false;
    return py::Ref::borrow(core->exception ? core->exception.get() : Py_None);
}

py::Ref result_of(PyObject* future) noexcept {
    core::FutureCore* const core = native(future);
    return core == nullptr ? py::call_method(future, py::names().result)
                           : core::future_result(future, *core);
}

py::Ref cancelled_error_of(PyObject* future) noexcept {
    core::FutureCore* const core = native(future);
    return core == nullptr
               ? py::Ref::steal(PyObject_CallMethod(future, "_make_cancelled_error", nullptr))
               : core::make_cancelled_error(*core);
}

bool mark_retrieved(PyObject* future) noexcept {
    const int cancelled = is_cancelled(future);
    return cancelled > 0 || (cancelled == 0 && exception_of(future));
}

bool add_edge(PyObject* future, PyObject* waiter) noexcept {
    if (waiter == nullptr) {
        return true;
    }
    return core::waits_natively(future) && core::is_exact_native(waiter)
               ? py::abi::add_awaited_by(future, waiter)
               : py::abi::add_awaited_by_any(future, waiter);
}

bool drop_edge(PyObject* future, PyObject* waiter) noexcept {
    if (waiter == nullptr) {
        return true;
    }
    return core::waits_natively(future) && core::is_exact_native(waiter)
               ? py::abi::discard_awaited_by(future, waiter)
               : py::abi::discard_awaited_by_any(future, waiter);
}

bool find_waiter(PyObject* loop, py::Ref& waiter) noexcept {
    if (!py::state().combine.awaits_are_recorded) {
        return true;
    }
    waiter = py::abi::current_task(loop);
    if (!waiter) {
        return false;
    }
    if (waiter.get() == Py_None) {
        waiter.reset();
    }
    return true;
}

py::Ref running_loop() noexcept {
    py::Ref loop = py::abi::running_loop();
    if (!loop && PyErr_Occurred() == nullptr) {
        py::raise_runtime_error("no running event loop");
    }
    return loop;
}

py::Ref event_loop() noexcept {
    py::Ref loop = py::abi::running_loop();
    return loop || PyErr_Occurred() != nullptr ? std::move(loop)
                                               : py::call(py::state().get_event_loop);
}

py::Ref create_future(PyObject* loop) noexcept {
    return Py_TYPE(loop) == py::state().loop_type
               ? core::make_future(loop)
               : py::call_method(loop, py::names().create_future);
}

namespace {

// loop.create_task(coro); a coroutine that gets no task is closed, as it will never be awaited.
py::Ref start(PyObject* coro, PyObject* loop) noexcept {
    py::Ref task = py::call_method(loop, py::names().create_task, coro);
    if (task || !PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        return task;
    }
    py::Ref error = py::compat::take_exception();
    if (py::call_method(coro, py::names().close)) {
        py::compat::put_exception(std::move(error));
    } else {
        py::raise_chained(py::compat::take_exception(), std::move(error));
    }
    return {};
}

// What is neither a native future nor a plain coroutine: asyncio's own function knows what to do.
py::Ref ensure_by_asyncio(PyObject* object, PyObject* loop) noexcept {
    PyObject* const function = py::state().ensure_future;
    if (loop == nullptr) {
        return py::call(function, object);
    }
    const py::Ref keywords = py::Ref::steal(PyTuple_Pack(1, py::names().loop));
    PyObject* const stack[] = {object, loop};
    return keywords ? py::Ref::steal(PyObject_Vectorcall(function, stack, 1, keywords.get()))
                    : py::Ref();
}

} // namespace

py::Ref ensure_future(PyObject* object, PyObject* loop) noexcept {
    if (PyCoro_CheckExact(object) || core::is_native_coroutine(object)) {
        if (loop != nullptr) {
            return start(object, loop);
        }
        const py::Ref running = py::abi::running_loop();
        if (running || PyErr_Occurred() != nullptr) {
            return running ? start(object, running.get()) : py::Ref();
        }
    } else if (const core::FutureCore* const core = native(object);
               core != nullptr && (loop == nullptr || core->loop.get() == loop)) {
        return py::Ref::borrow(object);
    }
    return ensure_by_asyncio(object, loop);
}

void raise_with_type(PyObject* error, const char* format, PyObject* object) noexcept {
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(object)));
    if (name) {
        PyErr_Format(error, format, name.get());
    }
}

int is_coroutine(PyObject* object) noexcept {
    if (PyObject_TypeCheck(object, py::state().base_future)) {
        return 0;
    }
    return PyCoro_CheckExact(object) || core::is_native_coroutine(object)
               ? 1
               : truth(py::call(py::state().iscoroutine, object));
}

int is_future_or_coroutine(PyObject* object) noexcept {
    if (PyList_CheckExact(object) || PyTuple_CheckExact(object) || PyAnySet_CheckExact(object)) {
        return 0;
    }
    const int future = truth(py::call(py::state().isfuture, object));
    return future != 0 ? future : is_coroutine(object);
}

} // namespace bucle::combine
