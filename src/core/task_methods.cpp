// Task as Python sees it, beside what it shares with Future (future_methods.cpp); its destruction.
#include "core/task.hpp"
#include "py/args.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

using Fastcall = PyObject* const*;

// Our fields, or null when `self` is a stock task (see future_methods.cpp).
TaskCore* native(PyObject* self) noexcept {
    return is_native_task(self) ? task_core(self) : nullptr;
}

PyObject* cancel(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    if (native(self) == nullptr) {
        return call_stock_method(self, "cancel", args, nargs, kwnames);
    }
    PyObject* message = nullptr;
    if (!parse_cancel(args, nargs, kwnames, &message)) {
        return nullptr;
    }
    const int accepted = task_cancel(self, message);
    return accepted < 0 ? nullptr : PyBool_FromLong(accepted);
}

PyObject* set_result(PyObject*, PyObject*) noexcept {
    return py::raise_runtime_error("Task does not support set_result operation");
}

PyObject* set_exception(PyObject*, PyObject*) noexcept {
    return py::raise_runtime_error("Task does not support set_exception operation");
}

PyObject* cancelling(PyObject* self, PyObject*) noexcept {
    TaskCore* core = native(self);
    return core == nullptr ? call_stock_method(self, "cancelling", nullptr, 0, nullptr)
                           : PyLong_FromLong(cancel_count(self, *core));
}

PyObject* uncancel(PyObject* self, PyObject*) noexcept {
    TaskCore* core = native(self);
    if (core == nullptr) {
        return call_stock_method(self, "uncancel", nullptr, 0, nullptr);
    }
    std::int32_t& count = cancel_count(self, *core);
    if (count > 0) {
        core->own_cancels = --count;
        if (count == 0 && py::compat::kUncancelClearsMustCancel) {
            core->must_cancel = false;
        }
    }
    return PyLong_FromLong(count);
}

PyObject* get_name(PyObject* self, PyObject*) noexcept {
    TaskCore* core = native(self);
    return core == nullptr ? call_stock_method(self, "get_name", nullptr, 0, nullptr)
                           : task_name(self, *core);
}

PyObject* set_name(PyObject* self, PyObject* name) noexcept {
    TaskCore* core = native(self);
    if (core == nullptr) {
        return call_stock_method(self, "set_name", &name, 1, nullptr);
    }
    if (!set_task_name(self, *core, name)) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* get_coro(PyObject* self, PyObject*) noexcept {
    TaskCore* core = native(self);
    return core == nullptr ? call_stock_method(self, "get_coro", nullptr, 0, nullptr)
                           : py::value_or_none(core->coro.get());
}

PyObject* get_context(PyObject* self, PyObject*) noexcept {
    TaskCore* core = native(self);
    if (core == nullptr) {
        return call_stock_method(self, "get_context", nullptr, 0, nullptr);
    }
    if (!core->initialized()) {
        Py_RETURN_NONE;
    }
    PyObject* context = task_context(self, *core);
    return context == nullptr ? nullptr : py::new_ref(context);
}

PyObject* get_stack(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"limit", nullptr};
    static constexpr py::Signature kSignature = {"get_stack", kNames, 0, 0};
    PyObject* given[1];
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, given)) {
        return nullptr;
    }
    return py::call(py::state().task_get_stack, self, given[0] == nullptr ? Py_None : given[0])
        .release();
}

PyObject* print_stack(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"limit", "file", nullptr};
    static constexpr py::Signature kSignature = {"print_stack", kNames, 0, 0};
    PyObject* given[2];
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, given)) {
        return nullptr;
    }
    return py::call(py::state().task_print_stack, self, given[0] == nullptr ? Py_None : given[0],
                    given[1] == nullptr ? Py_None : given[1])
        .release();
}

PyObject* get_coro_attr(PyObject* self, void*) noexcept {
    return py::value_or_none(task_core(self)->coro.get());
}

PyObject* get_waits_for(PyObject* self, void*) noexcept {
    return py::value_or_none(task_core(self)->waits_for.get());
}

PyObject* get_must_cancel(PyObject* self, void*) noexcept {
    return PyBool_FromLong(task_core(self)->must_cancel);
}

PyObject* get_log_destroy(PyObject* self, void*) noexcept {
    return PyBool_FromLong(task_core(self)->log_destroy_pending);
}

int set_log_destroy(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        return py::raise_undeletable(self, "_log_destroy_pending");
    }
    const int truth = PyObject_IsTrue(value);
    task_core(self)->log_destroy_pending = truth > 0;
    return truth < 0 ? -1 : 0;
}

PyObject* repr(PyObject* self) noexcept {
    return task_core(self)->initialized() ? py::call(py::state().task_repr, self).release()
                                          : not_initialized();
}

int init(PyObject* self, PyObject* args, PyObject* kwargs) noexcept {
    static constexpr const char* kNames[] = {"coro",    "loop",        "name",
                                             "context", "eager_start", nullptr};
    static constexpr const char* kNamesWithoutEager[] = {"coro", "loop", "name", "context",
                                                         nullptr};
    static constexpr py::Signature kSignature = {
        "Task", py::compat::kHasEagerTasks ? kNames : kNamesWithoutEager, 1, 1};
    PyObject* given[5] = {};
    if (!py::parse_call(kSignature, args, kwargs, given)) {
        return -1;
    }
    TaskCore& core = *task_core(self);
    if (py::compat::kSecondInitRefused && core.initialized()) {
        PyErr_Format(PyExc_RuntimeError, "%s object is already initialized",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    const int eager = given[4] == nullptr ? 0 : PyObject_IsTrue(given[4]);
    return eager >= 0 && init_task(self, core, given[0], given[1], given[2], given[3], eager > 0)
               ? 0
               : -1;
}

PyObject* create(PyTypeObject* type, PyObject*, PyObject*) noexcept {
    return py::allocate(type);
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    const TaskCore& core = *task_core(self);
    if (const int stop = visit_future(core, visit, arg); stop != 0) {
        return stop;
    }
    for (const py::Ref* ref :
         {&core.coro, &core.waits_for, &core.context, &core.step_error, &core.own_name}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    if (const int stop = py::abi::visit_awaited_by(self, visit, arg); stop != 0) {
        return stop;
    }
    if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

void clear_fields(PyObject* self) noexcept {
    TaskCore& core = *task_core(self);
    py::abi::clear_mirrors(self, true);
    clear_future(core);
    core.coro.reset();
    core.waits_for.reset();
    core.context.reset();
    core.step_error.reset();
    core.own_name.reset();
}

int clear(PyObject* self) noexcept {
    clear_fields(self);
    py::abi::clear_awaited_by(self);
    py::compat::clear_instance_dict(self);
    return 0;
}

void report_destroyed(PyObject* self, TaskCore& core) noexcept {
    const py::ErrorScope keep;
    const py::Names& names = py::names();
    py::Ref message = py::Ref::steal(PyUnicode_FromString("Task was destroyed but it is pending!"));
    if (!report_to_loop(core.loop.get(), std::move(message),
                        {{names.task, self}, {names.source_traceback, core.source_traceback()}})) {
        PyErr_WriteUnraisable(self);
    }
}

void finalize(PyObject* self) noexcept {
    TaskCore& core = *task_core(self);
    if (core.pending() && core.initialized()) {
        const py::ErrorScope keep;
        if (!unregister_task(self, core)) { // the report may keep the object alive
            PyErr_WriteUnraisable(self);
        }
        if (core.log_destroy_pending) {
            report_destroyed(self, core);
        }
    }
    report_unretrieved(self, core);
}

void dealloc(PyObject* self) noexcept {
    const bool exact = Py_TYPE(self) == py::state().task_type;
    // The finalizer has something to say of few; a subclass may have one of its own.
    if ((!exact || task_core(self)->pending() || task_core(self)->log_traceback) &&
        !py::finalize_before_dealloc(self)) {
        return;
    }
    // The finalizer's handler may have registered it again; a list holds no dead task.
    (void)unregister_task(self, *task_core(self));
    PyObject_GC_UnTrack(self);
    // Chains of tasks, each kept alive by the one that waits for it, can be long.
    Py_TRASHCAN_BEGIN(self, dealloc);
    clear_fields(self);
    py::State& state = py::state();
    if (exact) {
        py::abi::forget_task(self);
        py::abi::clear_awaited_by(self);
        py::chain_dealloc_into(self, state.base_task, state.task_blocks);
    } else {
        py::chain_dealloc(self, state.base_task);
    }
    Py_TRASHCAN_END
}

PyObject* repr_method(PyObject* self, PyObject*) noexcept {
    return native(self) == nullptr ? call_stock_method(self, "__repr__", nullptr, 0, nullptr)
                                   : repr(self);
}

PyMethodDef methods[] = {
    {"__repr__", repr_method, METH_NOARGS,
     "__repr__($self, /)\n--\n\n"
     "Return repr(self)."},
    {"cancel", py::as_method(cancel), METH_FASTCALL | METH_KEYWORDS,
     "cancel($self, /, msg=None)\n--\n\n"
     "Request that the task is cancelled; False if it is done."},
    {"set_result", set_result, METH_O,
     "set_result($self, result, /)\n--\n\n"
     "Raise RuntimeError: the coroutine's outcome is the task's."},
    {"set_exception", set_exception, METH_O,
     "set_exception($self, exception, /)\n--\n\n"
     "Raise RuntimeError: the coroutine's outcome is the task's."},
    {"cancelling", cancelling, METH_NOARGS,
     "cancelling($self, /)\n--\n\n"
     "Return the number of requests to cancel that were not taken back."},
    {"uncancel", uncancel, METH_NOARGS,
     "uncancel($self, /)\n--\n\n"
     "Take back one request to cancel and return how many remain."},
    {"get_name", get_name, METH_NOARGS,
     "get_name($self, /)\n--\n\n"
     "Return the name of the task."},
    {"set_name", set_name, METH_O,
     "set_name($self, value, /)\n--\n\n"
     "Set the name of the task."},
    {"get_coro", get_coro, METH_NOARGS,
     "get_coro($self, /)\n--\n\n"
     "Return the coroutine that the task runs."},
    {"get_stack", py::as_method(get_stack), METH_FASTCALL | METH_KEYWORDS,
     "get_stack($self, /, *, limit=None)\n--\n\n"
     "Return the stack frames of the task's coroutine as a list."},
    {"print_stack", py::as_method(print_stack), METH_FASTCALL | METH_KEYWORDS,
     "print_stack($self, /, *, limit=None, file=None)\n--\n\n"
     "Print the stack or the traceback of the task's coroutine."},
    {py::compat::kHasTaskGetContext ? "get_context" : nullptr, get_context, METH_NOARGS,
     "get_context($self, /)\n--\n\n"
     "Return the context that the task runs in."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"_coro", get_coro_attr, nullptr, nullptr, nullptr},
    {"_fut_waiter", get_waits_for, nullptr, nullptr, nullptr},
    {"_must_cancel", get_must_cancel, nullptr, nullptr, nullptr},
    {"_log_destroy_pending", get_log_destroy, set_log_destroy, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// The callables that stand for a step and a wakeup where Python must see one. Their __self__ is the
// task, which is how asyncio's debug mode names a slow step.
PyObject* step_function(PyObject* task, PyObject*) noexcept {
    TaskCore& core = *task_core(task);
    return task_step(task, core, std::move(core.step_error)) ? py::new_ref(Py_None) : nullptr;
}

PyObject* wakeup_function(PyObject* task, PyObject* future) noexcept {
    py::Ref error;
    return take_outcome(task, future, error) && task_step(task, *task_core(task), std::move(error))
               ? py::new_ref(Py_None)
               : nullptr;
}

PyMethodDef step_def = {"task_step", step_function, METH_NOARGS, nullptr};
PyMethodDef wakeup_def = {"task_wakeup", wakeup_function, METH_O, nullptr};

} // namespace

py::Ref make_step(PyObject* task) noexcept {
    return py::Ref::steal(PyCFunction_New(&step_def, task));
}

py::Ref make_wakeup(PyObject* task) noexcept {
    return py::Ref::steal(PyCFunction_New(&wakeup_def, task));
}

bool is_wakeup_of(PyObject* function, PyObject* task) noexcept {
    return PyCFunction_Check(function) && PyCFunction_GET_SELF(function) == task &&
           PyCFunction_GET_FUNCTION(function) == wakeup_function;
}

bool make_task_type(PyObject* module) noexcept {
    static constexpr const char* kDoc =
        "Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\n"
        "A coroutine that the loop drives, and the future of its outcome.";
    static constexpr const char* kDocWithoutEager =
        "Task(coro, *, loop=None, name=None, context=None)\n--\n\n"
        "A coroutine that the loop drives, and the future of its outcome.";
    py::State& state = py::state();
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>(py::compat::kHasEagerTasks ? kDoc : kDocWithoutEager)},
        {Py_tp_new, reinterpret_cast<void*>(create)},
        {Py_tp_init, reinterpret_cast<void*>(init)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_iter, reinterpret_cast<void*>(future_await)},
        {Py_am_await, reinterpret_cast<void*>(future_await_itself)},
        {Py_tp_iternext, reinterpret_cast<void*>(future_next)},
        {Py_am_send, reinterpret_cast<void*>(future_send)},
        {Py_tp_getset, getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {
        "bucle.Task",    slots,      sizeof(TaskCore),    alignof(TaskCore),
        state.base_task, state.meta, Py_TPFLAGS_BASETYPE, true};
    state.task_type = py::make_type(module, recipe, &task_offset);
    return state.task_type != nullptr && make_task_list() && hide_next(state.task_type) &&
           py::add_getset(state.task_type, future_getset) &&
           py::add_methods_for(state.task_type, state.base_task, future_methods) &&
           py::add_methods_for(state.task_type, state.base_task, methods);
}

} // namespace bucle::core
