// A run inside another of the same loop, for whoever asked for it by allow_nesting(): turns until
// stop(), on the same queues, between two lines of a callback or of a task's step.
//
// The outer run stands still meanwhile: its task is not the current one, its handle is not the one
// that debug mode shows, and that its future is done does not stop the inner run. All of this is
// put back at the end, errors or not. What both share, the asynchronous generators' hooks, the
// thread, the wake-up of signals, is left alone.
//
// Refused inside the methods of protocols: a transport that is in the middle of reading cannot be
// read from once more.
#include "loop/loop.hpp"

#include "core/any_future.hpp"
#include "core/handle.hpp"
#include "core/lingering.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

bool is_end_of(core::Ready entry, PyObject* future) noexcept {
    if (entry.kind() != core::ReadyKind::handle) {
        return false;
    }
    const core::HandleCore* const handle = core::handle_core(entry.object());
    return handle != nullptr && !handle->cancelled && handle->nargs == 1 &&
           handle->callback.get() == py::state().run_until_complete_cb &&
           handle->first_arg.get() == future;
}

// What the outer run has to itself, set aside until the end of the scope.
class Suspended {
  public:
    explicit Suspended(LoopCore& core) noexcept : core_(core) {}
    Suspended(const Suspended&) = delete;
    Suspended& operator=(const Suspended&) = delete;

    // Called once. False with an error set; what was set aside before it is put back all the same.
    [[nodiscard]] bool suspend() noexcept {
        stopping_ = std::exchange(core_.stopping, false);
        handle_ = std::move(core_.current_handle);
        ++core_.runs;
        core::leave_step(core_);
        running_ = py::call(py::state().running_loop_or_none);
        if (!running_ || !release_held(core_) || !suspend_root()) {
            return false;
        }
        if (running_.get() != core_.loop && !py::call(py::state().set_running_loop, core_.loop)) {
            return false;
        }
        // Early 3.12 fails to swap nobody for nobody.
        py::Ref task = py::abi::current_task(core_.loop);
        if (task && task != Py_None) {
            task_ = py::abi::swap_current_task(core_.loop, nullptr);
            return static_cast<bool>(task_);
        }
        return static_cast<bool>(task);
    }

    ~Suspended() {
        const py::ErrorScope keep;
        if (task_ && !py::abi::swap_current_task(core_.loop, task_.get())) {
            PyErr_WriteUnraisable(task_.get());
        }
        if (running_ && running_.get() != core_.loop &&
            !py::call(py::state().set_running_loop, running_.get())) {
            PyErr_WriteUnraisable(core_.loop);
        }
        --core_.runs;
        core_.stopping = stopping_;
        core_.current_handle = std::move(handle_);
        resume_root();
    }

  private:
    // The run outside: there is a root for it unless it is a run_forever().
    [[nodiscard]] bool suspend_root() noexcept {
        Root* root = core_.root;
        while (root != nullptr && (root->waiting || root->run + 1 >= core_.runs)) {
            root = root->outer;
        }
        if (root == nullptr) {
            return true;
        }
        root_ = root;
        root->waiting = true;
        return py::call_method(root->future, py::names().remove_done_callback,
                               py::state().run_until_complete_cb) &&
               drop_queued_end(core_, root->future);
    }

    void resume_root() noexcept {
        if (root_ == nullptr) {
            return;
        }
        root_->waiting = false;
        const int done = core::is_done(root_->future);
        if (done == 0 && py::call_method(root_->future, py::names().add_done_callback,
                                         py::state().run_until_complete_cb)) {
            return;
        }
        core_.stopping = true;
        if (done <= 0) {
            PyErr_WriteUnraisable(root_->future);
        }
    }

    LoopCore& core_;
    Root* root_ = nullptr;
    py::Ref handle_;
    py::Ref running_;
    py::Ref task_;
    bool stopping_ = false;
};

PyObject* get_nesting(PyObject* self, void*) noexcept {
    return PyBool_FromLong(loop_core(self)->may_nest);
}

int set_nesting(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    loop_core(self)->may_nest = truth > 0;
    return truth < 0 ? -1 : 0;
}

} // namespace

PyGetSetDef nesting_getset[] = {
    {"_may_nest", get_nesting, set_nesting, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

bool check_may_run(LoopCore& core) noexcept {
    if (!core.running() || !core.may_nest || core.thread_id != PyThread_get_thread_ident())
        [[likely]] {
        return check_not_running(core);
    }
    const py::Ref running = py::call(py::state().running_loop_or_none);
    if (!running) {
        return false;
    }
    if (running.get() != core.loop && running.get() != Py_None) {
        py::raise_runtime_error("Cannot run the event loop while another loop is running");
        return false;
    }
    if (core.protocol_calls != 0) {
        py::raise_runtime_error(
            "The event loop cannot be run inside a method of a transport's protocol");
        return false;
    }
    return true;
}

bool check_awaitable(LoopCore& core, PyObject* future) noexcept {
    if (!core.running()) {
        return true;
    }
    const py::Ref task = py::abi::current_task(core.loop);
    if (task.get() != future) {
        return static_cast<bool>(task);
    }
    PyErr_Format(PyExc_RuntimeError, "Task cannot await on itself: %R", future);
    return false;
}

bool drop_queued_end(LoopCore& core, PyObject* future) noexcept {
    for (std::size_t i = 0; i < core.ready.size(); ++i) {
        if (is_end_of(core.ready[i], future)) {
            const py::Ref handle = py::Ref::borrow(core.ready[i].object());
            return core::cancel_any_handle(handle.get());
        }
    }
    return true;
}

bool run_nested(LoopCore& core) noexcept {
    Suspended outer(core);
    return flush_at_end(core, outer.suspend() && run_turns(core));
}

} // namespace bucle::loop
