// wait: one waiter future, released by the observer of the futures or by a timer.
#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "combine/record.hpp"

#include "core/coroutine.hpp"
#include "core/observer.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

enum class ReturnWhen : std::uint8_t { all_completed, first_completed, first_exception };

struct Waiting {
    py::Ref futures; // list
    py::Ref waiter;
    py::Ref timer;    // null without a timeout
    py::Ref observer; // of every future
    py::Ref task;     // that waits, where the graph of awaits is kept
    Py_ssize_t left;
    ReturnWhen return_when;

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&futures, &waiter, &timer, &observer, &task}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return 0;
    }
    void clear() noexcept {
        futures.reset();
        waiter.reset();
        timer.reset();
        observer.reset();
        task.reset();
    }
};

bool cancel_timer(const Waiting& waiting) noexcept {
    const py::Ref timer = waiting.timer.clone();
    return !timer || py::call_method(timer.get(), py::names().cancel);
}

// 1: the wait is over with this one.
int ends_wait(const Waiting& waiting, PyObject* future) noexcept {
    if (waiting.left <= 0 || waiting.return_when == ReturnWhen::first_completed) {
        return 1;
    }
    if (waiting.return_when != ReturnWhen::first_exception) {
        return 0;
    }
    const int cancelled = core::is_cancelled(future);
    if (cancelled != 0) {
        return cancelled > 0 ? 0 : -1;
    }
    const py::Ref exception = core::exception_of(future);
    return exception ? static_cast<int>(exception.get() != Py_None) : -1;
}

bool on_completion(PyObject* self, PyObject* future) noexcept {
    Waiting& waiting = fields_of<Waiting>(self);
    const py::Ref waiter = waiting.waiter.clone();
    const py::Ref task = waiting.task.clone();
    --waiting.left;
    const int over = waiter ? ends_wait(waiting, future) : 0;
    if (over < 0 || (over > 0 && (!cancel_timer(waiting) || !release(waiter.get())))) {
        return false;
    }
    return drop_edge(future, task.get());
}

bool parse_return_when(PyObject* given, ReturnWhen& out) noexcept {
    static constexpr struct {
        const char* name;
        ReturnWhen value;
    } kRows[] = {{"ALL_COMPLETED", ReturnWhen::all_completed},
                 {"FIRST_COMPLETED", ReturnWhen::first_completed},
                 {"FIRST_EXCEPTION", ReturnWhen::first_exception}};
    for (const auto& row : kRows) {
        if (PyUnicode_Check(given) && PyUnicode_CompareWithASCIIString(given, row.name) == 0) {
            out = row.value;
            return true;
        }
    }
    PyErr_Format(PyExc_ValueError, "Invalid return_when value: %S", given);
    return false;
}

// The different futures of the argument, as a list; null with asyncio's complaint set.
py::Ref list_futures(PyObject* given, ReturnWhen& return_when, PyObject* when) noexcept {
    const int single = is_future_or_coroutine(given);
    if (single != 0) {
        if (single > 0) {
            raise_with_type(PyExc_TypeError, "expect a list of futures, not %U", given);
        }
        return {};
    }
    const int any = PyObject_IsTrue(given);
    if (any <= 0) {
        if (any == 0) {
            py::raise_value_error("Set of Tasks/Futures is empty.");
        }
        return {};
    }
    const py::Ref unique =
        parse_return_when(when, return_when) ? py::Ref::steal(PySet_New(given)) : py::Ref();
    py::Ref futures = unique ? py::Ref::steal(PySequence_List(unique.get())) : py::Ref();
    for (Py_ssize_t i = 0; futures && i < PyList_GET_SIZE(futures.get()); ++i) {
        const int wrong = is_coroutine(PyList_GET_ITEM(futures.get(), i));
        if (wrong != 0) {
            if (wrong > 0) {
                py::raise_type_error("Passing coroutines is forbidden, use tasks explicitly.");
            }
            return {};
        }
    }
    return futures;
}

bool start_timer(PyObject* loop, PyObject* timeout, Waiting& waiting) noexcept {
    if (timeout == Py_None) {
        return true;
    }
    return keep_timer(waiting.timer,
                      py::call_method(loop, py::names().call_later, timeout,
                                      py::state().release_waiter, waiting.waiter.get()));
}

bool observe_all(const Waiting& waiting) noexcept {
    const py::Ref futures = waiting.futures.clone();
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(futures.get()); ++i) {
        PyObject* const future = PyList_GET_ITEM(futures.get(), i);
        if (!core::observe(future, waiting.observer.get()) ||
            !add_edge(future, waiting.task.get())) {
            return false;
        }
    }
    return true;
}

core::Step start(core::Coroutine& co) noexcept {
    ReturnWhen return_when = ReturnWhen::all_completed;
    py::Ref futures = list_futures(co.arguments[0].get(), return_when, co.arguments[2].get());
    const py::Ref loop = futures ? py::abi::require_running_loop() : py::Ref();
    if (!loop) {
        return core::Step::fail;
    }
    if (PyList_GET_SIZE(futures.get()) == 0) {
        PyErr_SetString(PyExc_AssertionError, "Set of Futures is empty.");
        return core::Step::fail;
    }
    co.kept = py::Ref::steal(py::allocate(py::state().wait_type));
    if (!co.kept) {
        return core::Step::fail;
    }
    Waiting& waiting = fields_of<Waiting>(co.kept.get());
    waiting.left = PyList_GET_SIZE(futures.get());
    waiting.return_when = return_when;
    waiting.futures = std::move(futures);
    waiting.waiter = core::make_future(loop.get());
    waiting.observer =
        core::make_observer(co.kept.get(), on_completion, "_wait.<locals>._on_completion");
    if (!waiting.waiter || !waiting.observer ||
        !start_timer(loop.get(), co.arguments[1].get(), waiting) ||
        !find_waiter(loop.get(), waiting.task) || !observe_all(waiting)) {
        return core::Step::fail;
    }
    return co.wait(waiting.waiter.clone(), 1);
}

bool stop(Waiting& waiting) noexcept {
    const py::Ref observer = std::move(waiting.observer);
    if (!cancel_timer(waiting)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(waiting.futures.get()); ++i) {
        const py::Ref future = py::Ref::borrow(PyList_GET_ITEM(waiting.futures.get(), i));
        if (!core::stop_observing(future.get(), observer.get()) ||
            !drop_edge(future.get(), waiting.task.get())) {
            return false;
        }
    }
    return true;
}

py::Ref done_and_pending(const Waiting& waiting) noexcept {
    const py::Ref done = py::Ref::steal(PySet_New(nullptr));
    const py::Ref pending = done ? py::Ref::steal(PySet_New(nullptr)) : py::Ref();
    for (Py_ssize_t i = 0; pending && i < PyList_GET_SIZE(waiting.futures.get()); ++i) {
        const py::Ref future = py::Ref::borrow(PyList_GET_ITEM(waiting.futures.get(), i));
        const int is = core::is_done(future.get());
        if (is < 0 || PySet_Add(is > 0 ? done.get() : pending.get(), future.get()) < 0) {
            return {};
        }
    }
    return pending ? py::Ref::steal(PyTuple_Pack(2, done.get(), pending.get())) : py::Ref();
}

core::Step wait(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (co.stage == 0) {
        return start(co);
    }
    const py::Ref record = std::move(co.kept);
    Waiting& waiting = fields_of<Waiting>(record.get());
    if (!stop(waiting)) {
        if (error) {
            py::raise_chained(py::compat::take_exception(), std::move(error));
        }
        return core::Step::fail;
    }
    return error ? core::fail_with(std::move(error))
                 : core::finish_with(result, done_and_pending(waiting));
}

} // namespace

bool add_wait(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {core::async_row("wait", wait), {nullptr, nullptr}};
    py::state().wait_type = make_record_type<Waiting>(module, "bucle.wait_record");
    return py::state().wait_type != nullptr &&
           py::add_module_functions(module, "asyncio.tasks", kRows);
}

} // namespace bucle::combine
