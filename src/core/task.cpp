// Making, naming, cancelling and dropping tasks. The step is in task_step.cpp, what Python sees in
// task_methods.cpp.
#include "core/task.hpp"

#include "core/context.hpp"
#include "core/coroutine.hpp"
#include "core/stand_in.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {

std::size_t task_offset = 0;

namespace {

PyObject*& name_slot(PyObject* self) noexcept {
    return py::abi::slot_at(self, py::abi::layout.name);
}

// A name, or null for "not named": the base's slot holds it where that is known.
PyObject* stored_name(PyObject* self, const TaskCore& core) noexcept {
    return py::abi::layout.mirrors ? name_slot(self) : core.own_name.get();
}

void store_name(PyObject* self, TaskCore& core, py::Ref name) noexcept {
    if (py::abi::layout.mirrors) {
        py::Ref old = py::Ref::steal(std::exchange(name_slot(self), name.release()));
    } else {
        core.own_name = std::move(name);
    }
}

bool init_name(PyObject* self, TaskCore& core, PyObject* name) noexcept {
    if (name != nullptr && name != Py_None) {
        return set_task_name(self, core, name);
    }
    // The number is kept and formatted when somebody asks (on 3.11 the base's get_name() would
    // hand out the bare number, so there it is formatted at once).
    const auto number = static_cast<unsigned long long>(++py::state().task_counter);
    py::Ref stored =
        py::Ref::steal(py::compat::kTaskNamesAreLazy ? PyLong_FromUnsignedLongLong(number)
                                                     : PyUnicode_FromFormat("Task-%llu", number));
    if (!stored) {
        return false;
    }
    store_name(self, core, std::move(stored));
    return true;
}

bool init_context(TaskCore& core, PyObject* context) noexcept {
    if (context == nullptr || context == Py_None) {
        bool failed = false;
        core.context = copy_current_context(failed);
        return !failed;
    }
    if (py::compat::kContextTypeChecked && !PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError, "a contextvars.Context was expected, got %s",
                     Py_TYPE(context)->tp_name);
        return false;
    }
    core.context = py::Ref::borrow(context);
    return true;
}

int loop_is_running(PyObject* loop) noexcept {
    if (const Scheduler* scheduler = scheduler_of(loop)) {
        return scheduler->thread_id != 0 ? 1 : 0;
    }
    return py::truth_of(py::call_method(loop, py::names().is_running));
}

} // namespace

bool init_task(PyObject* self, TaskCore& core, PyObject* coro, PyObject* loop, PyObject* name,
               PyObject* context, bool eager_start) noexcept {
    core.log_destroy_pending = false;
    if (!init_future(self, core, loop)) {
        return false;
    }
    const int valid = is_coroutine(coro);
    if (valid <= 0) {
        if (valid == 0) {
            PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R", coro);
        }
        return false;
    }
    if (!init_context(core, context)) {
        return false;
    }
    core.waits_for.reset();
    core.step_error.reset();
    core.must_cancel = false;
    cancel_count(self, core) = core.own_cancels = 0;
    core.coro = py::Ref::borrow(coro);
    if (!init_name(self, core, name)) {
        return false;
    }
    core.log_destroy_pending = true;
    // What reads the list of tasks out of memory knows the interpreter's coroutines only.
    PyObject* const shown =
        py::abi::layout.registers_tasks && is_native_coroutine(coro)
            ? stand_in_of(py::as_function(reinterpret_cast<Coroutine*>(coro)->function.get()))
            : coro;
    if (shown == nullptr) {
        return false;
    }
    py::abi::mirror_new_task(self, shown, core.context.get());
    if (!scheduler_of(core.loop.get()) && task_context(self, core) == nullptr) {
        return false;
    }
    if (eager_start) {
        const int running = loop_is_running(core.loop.get());
        if (running != 0) {
            return running > 0 && task_eager_start(self, core);
        }
    }
    return schedule_task_step(self, core) && register_task(self, core);
}

py::Ref make_task(PyObject* coro, PyObject* loop, PyObject* name, PyObject* context,
                  bool eager_start) noexcept {
    py::State& state = py::state();
    py::Ref self = py::Ref::steal(state.task_blocks.take(state.task_type));
    if (!self) {
        return self;
    }
    py::track(self.get());
    if (!init_task(self.get(), *task_core(self.get()), coro, loop, name, context, eager_start)) {
        return {};
    }
    return self;
}

std::int32_t& cancel_count(PyObject* self, TaskCore& core) noexcept {
    return py::abi::layout.mirrors ? py::abi::int_at(self, py::abi::layout.cancels)
                                   : core.own_cancels;
}

PyObject* task_context(PyObject* self, TaskCore& core) noexcept {
    if (!core.context) {
        core.context = make_empty_context();
        py::abi::mirror_context(self, core.context.get());
    }
    return core.context.get();
}

void drop_coro(PyObject* self, TaskCore& core) noexcept {
    if (py::abi::layout.mirrors) {
        py::abi::slot_at(self, py::abi::layout.coro) = nullptr;
    }
    core.coro.reset();
}

PyObject* task_name(PyObject* self, TaskCore& core) noexcept {
    PyObject* stored = stored_name(self, core);
    if (stored == nullptr) {
        Py_RETURN_NONE;
    }
    if (PyLong_CheckExact(stored)) {
        py::Ref name = py::Ref::steal(PyUnicode_FromFormat("Task-%S", stored));
        if (!name) {
            return nullptr;
        }
        store_name(self, core, std::move(name));
        stored = stored_name(self, core);
    }
    return py::new_ref(stored);
}

bool set_task_name(PyObject* self, TaskCore& core, PyObject* name) noexcept {
    py::Ref text =
        PyUnicode_CheckExact(name) ? py::Ref::borrow(name) : py::Ref::steal(PyObject_Str(name));
    if (!text) {
        return false;
    }
    store_name(self, core, std::move(text));
    return true;
}

int cancel_any(PyObject* future, PyObject* message) noexcept {
    const py::Ref hold = py::Ref::borrow(future);
    if (is_exact_native(future)) {
        // Down a chain of tasks that wait for each other; asyncio's ends in a RecursionError, too.
        if (Py_EnterRecursiveCall(" while calling a Python object") != 0) {
            return -1;
        }
        const int accepted = is_native_task(future)
                                 ? task_cancel(future, message)
                                 : future_cancel(future, *future_core(future), message);
        Py_LeaveRecursiveCall();
        return accepted;
    }
    const py::Names& names = py::names();
    return py::truth_of(py::call_method_kw(future, names.cancel, names.kw_msg, message));
}

namespace {

// The count stands in the base's field. asyncio.Task.cancel(t), unbound, has counted there before
// it comes here by way of the waiter: the number is one above the one that we left.
void count_cancel(PyObject* task, TaskCore& core) noexcept {
    std::int32_t& count = cancel_count(task, core);
    if (&count == &core.own_cancels) {
        ++count;
        return;
    }
    if (count != core.own_cancels + 1) {
        ++count;
    }
    core.own_cancels = count;
}

} // namespace

int task_cancel(PyObject* task, PyObject* message) noexcept {
    TaskCore& core = *task_core(task);
    core.log_traceback = false;
    if (!core.pending()) {
        return 0;
    }
    count_cancel(task, core);
    if (core.waits_for) {
        const py::Ref waits_for = core.waits_for.clone();
        const int accepted = cancel_any(waits_for.get(), message);
        if (accepted != 0) {
            return accepted;
        }
    }
    core.must_cancel = true;
    const bool wanted = message != nullptr && message != Py_None;
    FutureExtras* extras = wanted ? core.need_extras() : core.extras;
    if (extras != nullptr) {
        extras->cancel_message = py::Ref::borrow(message);
    }
    return wanted && extras == nullptr ? -1 : 1;
}

} // namespace bucle::core
