// The tasks of a TaskGroup: making one, and what its end does to the group.
#include "combine/child.hpp"
#include "combine/task_group.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

bool tell_handler(TaskGroup& group, PyObject* task, PyObject* error) noexcept {
    const py::Names& names = py::names();
    py::Ref message = py::Ref::steal(
        PyUnicode_FromFormat("Task %R has errored out but its parent task %S is already completed",
                             task, group.parent()));
    return core::report_to_loop(group.loop ? group.loop.get() : Py_None, std::move(message),
                                {{names.exception, error}, {names.task, task}});
}

// group._tasks.add(task) or .discard(task), whatever a program put there.
bool change_tasks(TaskGroup& group, int (*change)(PyObject*, PyObject*), PyObject* name,
                  PyObject* task) noexcept {
    const py::Ref tasks = group.tasks.clone();
    return PySet_CheckExact(tasks.get())
               ? change(tasks.get(), task) >= 0
               : static_cast<bool>(py::call_method(tasks.get(), name, task));
}

bool wake_block(TaskGroup& group) noexcept {
    const py::Ref completed = group.on_completed.clone();
    const int done = core::is_done(completed.get());
    return done == 0 ? core::set_result_of(completed.get(), Py_True) : done > 0;
}

bool note_failure(PyObject* self, PyObject* task, PyObject* error) noexcept {
    TaskGroup& group = group_of(self);
    if (!append_error(group, error)) {
        return false;
    }
    const int base = is_base_error(self, error);
    if (base < 0) {
        return false;
    }
    if (base > 0 && !group.base_error) {
        group.base_error = py::Ref::borrow(error);
    }
    const py::Ref parent = py::Ref::borrow(group.parent());
    const int over = core::is_done(parent.get());
    if (over != 0) {
        return over > 0 && tell_handler(group, task, error);
    }
    return group.aborting || group.parent_cancel_requested ||
           (abort_group(self) && request_parent_cancel(group));
}

bool on_task_done(PyObject* self, PyObject* task) noexcept {
    TaskGroup& group = group_of(self);
    if (group.tasks && !change_tasks(group, PySet_Discard, py::names().discard, task)) {
        return false;
    }
    if (py::state().task_group_rules.adds_edges && !drop_edge(task, group.parent())) {
        return false;
    }
    const int has_tasks = group.on_completed ? group.has_tasks() : 1;
    if (has_tasks < 0 || (has_tasks == 0 && !wake_block(group))) {
        return false;
    }
    const int cancelled = core::is_cancelled(task);
    if (cancelled != 0) {
        return cancelled > 0;
    }
    const py::Ref error = core::exception_of(task);
    return error && (error == Py_None || note_failure(self, task, error.get()));
}

// create_task() of the loop, called as this version of asyncio calls it.
py::Ref call_loop(TaskGroup& group, const py::Function& function, PyObject* const* args) noexcept {
    const py::Names& names = py::names();
    PyObject* const loop = group.loop ? group.loop.get() : Py_None;
    PyObject* const coro = args[1];
    PyObject* const name = function.keyword_only > 0 ? args[2] : nullptr;
    PyObject* const context = function.keyword_only > 0 ? args[3] : nullptr;
    PyObject* const others = function.varkeywords ? args[2 + function.keyword_only] : nullptr;
    const bool named = name != nullptr && !py::state().task_group_rules.names_afterwards &&
                       (name != Py_None || core::scheduler_of(loop) == nullptr);
    const bool placed = context != nullptr && context != Py_None;
    if (!named && !placed && (others == nullptr || PyDict_GET_SIZE(others) == 0)) [[likely]] {
        return py::call_method(loop, names.create_task, coro);
    }
    const py::Ref method = py::get_attr(loop, names.create_task);
    const py::Ref positional = method ? py::Ref::steal(PyTuple_Pack(1, coro)) : py::Ref();
    const py::Ref keywords =
        positional ? py::Ref::steal(others == nullptr ? PyDict_New() : PyDict_Copy(others))
                   : py::Ref();
    if (!keywords || (named && PyDict_SetItem(keywords.get(), names.name, name) < 0) ||
        (placed && PyDict_SetItem(keywords.get(), names.context, context) < 0)) {
        return {};
    }
    return py::Ref::steal(PyObject_Call(method.get(), positional.get(), keywords.get()));
}

bool name_task(PyObject* task, PyObject* name) noexcept {
    if (name == Py_None) {
        return true;
    }
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("asyncio.tasks"));
    return module && py::call_method(module.get(), py::names()._set_task_name, task, name);
}

py::Ref refuse(PyObject* self, PyObject* coro, const char* text) noexcept {
    if (!py::state().task_group_rules.closes_refused || py::call_method(coro, py::names().close)) {
        PyErr_Format(PyExc_RuntimeError, text, self);
    }
    return {};
}

bool hang_on(PyObject* self, TaskGroup& group, PyObject* task) noexcept {
    if (!is_exact_group(self)) {
        const py::Ref callback = py::get_attr(self, py::names()._on_task_done);
        return callback && py::call_method(task, py::names().add_done_callback, callback.get());
    }
    if (!group.observer) {
        group.observer = core::make_observer(self, on_task_done, "TaskGroup._on_task_done");
    }
    const py::Ref observer = group.observer.clone();
    return observer && core::observe(task, observer.get());
}

bool adopt(PyObject* self, TaskGroup& group, PyObject* task) noexcept {
    const py::TaskGroupRules& rules = py::state().task_group_rules;
    if (rules.sees_done_at_once) {
        const int done = core::is_done(task);
        if (done != 0) {
            return done > 0 && (is_exact_group(self) ? on_task_done(self, task)
                                                     : static_cast<bool>(py::call_method(
                                                           self, py::names()._on_task_done, task)));
        }
    }
    if (rules.adds_edges && !add_edge(task, group.parent())) {
        return false;
    }
    PyObject* const tasks = tasks_of(group);
    if (tasks == nullptr || !change_tasks(group, PySet_Add, py::names().add, task) ||
        !hang_on(self, group, task)) {
        return false;
    }
    if (rules.cancels_late && group.aborting) {
        const int done = core::is_done(task);
        return done != 0 ? done > 0 : static_cast<bool>(py::call_method(task, py::names().cancel));
    }
    return true;
}

} // namespace

PyObject* group_create_task(py::Function& function, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    TaskGroup& group = group_of(self);
    if (!group.entered.on()) {
        return is_initialized(self)
                   ? refuse(self, args[1], "TaskGroup %R has not been entered").release()
                   : nullptr;
    }
    const int has_tasks = group.exiting ? group.has_tasks() : 1;
    if (has_tasks < 0) {
        return nullptr;
    }
    if (has_tasks == 0) {
        return refuse(self, args[1], "TaskGroup %R is finished").release();
    }
    if (group.aborting) {
        return refuse(self, args[1], "TaskGroup %R is shutting down").release();
    }
    py::Ref task = call_loop(group, function, args);
    if (!task ||
        (py::state().task_group_rules.names_afterwards && !name_task(task.get(), args[2])) ||
        !adopt(self, group, task.get())) {
        return nullptr;
    }
    return task.release();
}

PyObject* group_on_task_done(py::Function&, PyObject* const* args) noexcept {
    return on_task_done(args[0], args[1]) ? py::new_ref(Py_None) : nullptr;
}

} // namespace bucle::combine
