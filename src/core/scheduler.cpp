// See scheduler.hpp.
#include "core/scheduler.hpp"

#include "core/context.hpp"
#include "core/handle.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {

std::size_t loop_offset = 0;

bool check_closed(const Scheduler& scheduler) noexcept {
    if (scheduler.closed()) [[unlikely]] {
        py::raise_runtime_error("Event loop is closed");
        return false;
    }
    return true;
}

bool check_thread(const Scheduler& scheduler) noexcept {
    if (scheduler.thread_id != 0 && scheduler.thread_id != PyThread_get_thread_ident()) {
        py::raise_runtime_error(
            "Non-thread-safe operation invoked on an event loop other than the current one");
        return false;
    }
    return true;
}

bool check_callback(PyObject* callback, const char* method) noexcept {
    const py::State& state = py::state();
    for (PyObject* test : {state.iscoroutine, state.iscoroutinefunction}) {
        const int is_coroutine = py::truth_of(py::call(test, callback));
        if (is_coroutine != 0) {
            if (is_coroutine > 0) {
                PyErr_Format(PyExc_TypeError, "coroutines cannot be used with %s()", method);
            }
            return false;
        }
    }
    if (PyCallable_Check(callback) == 0) {
        PyErr_Format(PyExc_TypeError, "a callable object was expected by %s(), got %R", method,
                     callback);
        return false;
    }
    return true;
}

bool check_gate(const Scheduler& scheduler) noexcept {
    return check_closed(scheduler) && (!scheduler.debug() || check_thread(scheduler));
}

bool call_soon(PyObject* loop, PyObject* callback, PyObject* argument, PyObject* context) noexcept {
    Scheduler* scheduler = scheduler_of(loop);
    if (scheduler == nullptr || scheduler->foreign()) {
        const py::Names& names = py::names();
        py::Ref made = context == nullptr ? make_empty_context() : py::Ref::borrow(context);
        if (!made) {
            return false;
        }
        return static_cast<bool>(
            argument == nullptr
                ? py::call_method_kw(loop, names.call_soon, names.kw_context, callback, made.get())
                : py::call_method_kw(loop, names.call_soon, names.kw_context, callback, argument,
                                     made.get()));
    }
    if (scheduler->gate != 0 &&
        (!check_gate(*scheduler) || (scheduler->debug() && !check_callback(callback, "call_soon"))))
        [[unlikely]] {
        return false;
    }
    py::Ref handle =
        make_handle(*scheduler, callback, &argument, argument == nullptr ? 0 : 1, context);
    return handle && push_ready(*scheduler, ReadyKind::handle, std::move(handle));
}

py::Ref loop_time(PyObject* loop) noexcept {
    Scheduler* const scheduler = scheduler_of(loop);
    if (scheduler == nullptr) {
        return py::call_method(loop, py::names().time);
    }
    double now = 0;
    return scheduler->now(*scheduler, now) ? py::Ref::steal(PyFloat_FromDouble(now)) : py::Ref();
}

py::Ref call_at(PyObject* loop, PyObject* when, PyObject* callback, PyObject* argument) noexcept {
    Scheduler* const scheduler = scheduler_of(loop);
    return scheduler == nullptr
               ? py::call_method(loop, py::names().call_at, when, callback, argument)
               : py::Ref::steal(scheduler->call_at(*scheduler, when, callback, argument));
}

bool debug_of(PyObject* loop, bool& failed) noexcept {
    failed = false;
    if (const Scheduler* scheduler = scheduler_of(loop)) {
        return scheduler->debug();
    }
    const int debug = py::truth_of(py::call_method(loop, py::names().get_debug));
    failed = debug < 0;
    return debug > 0;
}

bool report_to_loop(PyObject* loop, py::Ref message,
                    std::initializer_list<Detail> details) noexcept {
    const py::Names& names = py::names();
    const py::Ref hold = py::Ref::borrow(loop);
    py::Ref report = message ? py::Ref::steal(PyDict_New()) : py::Ref();
    if (!report || PyDict_SetItem(report.get(), names.message, message.get()) < 0) {
        return false;
    }
    for (const Detail& detail : details) {
        if (detail.value != nullptr && PyDict_SetItem(report.get(), detail.key, detail.value) < 0) {
            return false;
        }
    }
    return static_cast<bool>(py::call_method(loop, names.call_exception_handler, report.get()));
}

} // namespace bucle::core
