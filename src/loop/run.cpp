// run_forever and run_until_complete: what is set up around the turns, and taken down again in
// every case. run_until_complete adds asyncio's own _run_until_complete_cb, by which other
// libraries recognise the root task.
#include "loop/loop.hpp"

#include "core/future.hpp"
#include "core/lingering.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

bool set_asyncgen_hooks(PyObject* firstiter, PyObject* finalizer) noexcept {
    const py::Names& names = py::names();
    py::Ref keywords = py::Ref::steal(PyTuple_Pack(2, names.firstiter, names.finalizer));
    PyObject* stack[] = {firstiter, finalizer};
    return keywords && py::Ref::steal(PyObject_Vectorcall(py::state().set_asyncgen_hooks, stack, 0,
                                                          keywords.get()));
}

bool install_asyncgen_hooks(LoopCore& core) noexcept {
    const py::Names& names = py::names();
    core.saved_hooks = py::call(py::state().get_asyncgen_hooks);
    py::Ref firstiter = py::get_attr(core.loop, names._asyncgen_firstiter_hook);
    py::Ref finalizer =
        firstiter ? py::get_attr(core.loop, names._asyncgen_finalizer_hook) : py::Ref();
    return core.saved_hooks && finalizer && set_asyncgen_hooks(firstiter.get(), finalizer.get());
}

bool restore_asyncgen_hooks(LoopCore& core) noexcept {
    const py::Ref saved = std::move(core.saved_hooks);
    return !saved ||
           set_asyncgen_hooks(PyTuple_GET_ITEM(saved.get(), 0), PyTuple_GET_ITEM(saved.get(), 1));
}

bool begin_run(LoopCore& core) noexcept {
    core.runs = 1;
    core.thread_id = PyThread_get_thread_ident();
    core.thread = PyThreadState_Get();
    return set_origin_tracking(core, core.debug()) && install_asyncgen_hooks(core) &&
           py::call(py::state().set_running_loop, core.loop);
}

// Keeps the first error; each step is done whatever happened before.
void end_run(LoopCore& core) noexcept {
    const py::ErrorScope keep;
    core.stopping = false;
    core.thread_id = 0;
    core.thread = nullptr;
    core.runs = 0;
    track_queued_handles(core);
    core.spare_context.reset();
    if (!py::call(py::state().set_running_loop, Py_None)) {
        PyErr_WriteUnraisable(core.loop);
    }
    if (!restore_asyncgen_hooks(core) || !set_origin_tracking(core, false) ||
        !restore_wakeup_fd(core)) {
        PyErr_WriteUnraisable(core.loop);
    }
}

py::Ref as_future(PyObject* self, PyObject* awaitable, bool& is_new) noexcept {
    const py::State& state = py::state();
    is_new = false;
    if (core::future_core(awaitable) == nullptr) {
        const int is_future = py::truth_of(py::call(state.isfuture, awaitable));
        if (is_future < 0) {
            return {};
        }
        is_new = is_future == 0;
    }
    if (is_new && PyCoro_CheckExact(awaitable)) {
        return py::call_method(self, state.names.create_task, awaitable);
    }
    py::Ref keywords = py::Ref::steal(PyTuple_Pack(1, state.names.loop));
    PyObject* stack[] = {awaitable, self};
    return keywords
               ? py::Ref::steal(PyObject_Vectorcall(state.ensure_future, stack, 1, keywords.get()))
               : py::Ref();
}

// The main task's exception counts as seen when it is what ends the run.
void consume_exception(PyObject* future) noexcept {
    const py::ErrorScope keep;
    py::Ref cancelled = py::Ref::steal(PyObject_CallMethod(future, "cancelled", nullptr));
    const py::Ref done = py::call_method(future, py::names().done);
    if (py::truth_of(done) == 1 && py::truth_of(cancelled) == 0) {
        (void)py::call_method(future, py::names().exception);
    }
    PyErr_Clear();
}

bool run_attribute_or_forever(LoopCore& core) noexcept {
    if (!core.run_forever_overridden) {
        return static_cast<bool>(py::Ref::steal(run_forever(core.loop, nullptr)));
    }
    return static_cast<bool>(
        py::Ref::steal(PyObject_CallMethod(core.loop, "run_forever", nullptr)));
}

// Until the future is done, or stop() is called.
bool run_for(LoopCore& core, PyObject* future) noexcept {
    Root root = {future, core.root, core.runs, false};
    core.root = &root;
    const bool ok = run_attribute_or_forever(core);
    core.root = root.outer;
    return ok;
}

} // namespace

bool flush_at_end(LoopCore& core, bool ok) noexcept {
    py::Ref raised = ok ? py::Ref() : py::compat::take_exception();
    core::leave_step(core);
    if (!core.flushes.empty() && !flush_all(core, Occasion::turn_ends)) {
        if (ok) {
            return false;
        }
        PyErr_WriteUnraisable(core.loop);
    }
    if (raised) {
        py::compat::put_exception(std::move(raised));
    }
    return ok;
}

bool check_not_running(LoopCore& core) noexcept {
    if (core.running()) {
        py::raise_runtime_error("This event loop is already running");
        return false;
    }
    py::Ref running = py::call(py::state().running_loop_or_none);
    if (running && running.get() != Py_None) {
        py::raise_runtime_error("Cannot run the event loop while another loop is running");
        return false;
    }
    return static_cast<bool>(running);
}

bool set_origin_tracking(LoopCore& core, bool enabled) noexcept {
    if (core.origin_tracking == enabled) {
        return true;
    }
    const py::State& state = py::state();
    if (enabled) {
        core.saved_origin_depth = py::call(state.get_origin_depth);
        if (!core.saved_origin_depth ||
            !py::call(state.set_origin_depth, state.debug_stack_depth)) {
            return false;
        }
    } else {
        const py::Ref saved = std::move(core.saved_origin_depth);
        if (!py::call(state.set_origin_depth, saved.get())) {
            return false;
        }
    }
    core.origin_tracking = enabled;
    return true;
}

PyObject* run_forever(PyObject* self, PyObject*) noexcept {
    LoopCore& core = *loop_core(self);
    if (!core::check_closed(core) || !check_may_run(core)) {
        return nullptr;
    }
    const py::Ref hold = py::Ref::borrow(self);
    if (core.running()) {
        return run_nested(core) ? py::new_ref(Py_None) : nullptr;
    }
    const bool ok = flush_at_end(core, begin_run(core) && run_turns(core));
    end_run(core);
    if (!ok) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* run_until_complete(PyObject* self, PyObject* awaitable) noexcept {
    LoopCore& core = *loop_core(self);
    if (!core::check_closed(core) || !check_may_run(core)) {
        return nullptr;
    }
    const py::State& state = py::state();
    bool is_new = false;
    const py::Ref future = as_future(self, awaitable, is_new);
    if (!future || !check_awaitable(core, future.get())) {
        return nullptr;
    }
    if (is_new && PyObject_SetAttrString(future.get(), "_log_destroy_pending", Py_False) < 0) {
        return nullptr;
    }
    PyObject* callback = state.run_until_complete_cb;
    if (!py::call_method(future.get(), state.names.add_done_callback, callback)) {
        return nullptr;
    }
    const bool nested = core.running();
    const bool ok = run_for(core, future.get());
    if (!ok && is_new) {
        consume_exception(future.get());
    }
    {
        const py::ErrorScope keep;
        if (!py::call_method(future.get(), state.names.remove_done_callback, callback) ||
            (nested && !drop_queued_end(core, future.get()))) {
            PyErr_WriteUnraisable(future.get());
        }
    }
    if (!ok) {
        return nullptr;
    }
    const int done = py::truth_of(py::call_method(future.get(), state.names.done));
    if (done < 0) {
        return nullptr;
    }
    if (done == 0) {
        // Who stopped it meant the run outside, which is told as well.
        core.stopping |= core.running();
        return py::raise_runtime_error("Event loop stopped before Future completed.");
    }
    return py::call_method(future.get(), state.names.result).release();
}

} // namespace bucle::loop
