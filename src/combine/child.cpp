// See child.hpp.
#include "combine/child.hpp"

#include "core/coroutine.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {

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

py::Ref event_loop() noexcept {
    py::Ref loop = py::abi::running_loop();
    return loop || PyErr_Occurred() != nullptr ? std::move(loop)
                                               : py::call(py::state().get_event_loop);
}

bool keep_timer(py::Ref& place, py::Ref handle) noexcept {
    const bool made = static_cast<bool>(handle);
    place = handle == Py_None ? py::Ref() : std::move(handle);
    return made;
}

bool release(PyObject* waiter) noexcept {
    core::FutureCore& core = *core::future_core(waiter);
    return !core.pending() || core::future_set_result(waiter, core, Py_None);
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
    } else if (core::waits_natively(object) &&
               (loop == nullptr || core::future_core(object)->loop.get() == loop)) {
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
    return PyObject_TypeCheck(object, py::state().base_future) ? 0 : core::is_coroutine(object);
}

int is_future_or_coroutine(PyObject* object) noexcept {
    if (PyList_CheckExact(object) || PyTuple_CheckExact(object) || PyAnySet_CheckExact(object)) {
        return 0;
    }
    const int future = py::truth_of(py::call(py::state().isfuture, object));
    return future != 0 ? future : is_coroutine(object);
}

} // namespace bucle::combine
