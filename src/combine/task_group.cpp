// The type TaskGroup: its state, entering, aborting, cancelling. See task_group.hpp.
#include "combine/task_group.hpp"

#include "combine/combine.hpp"
#include "core/any_future.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

constexpr const char* kEntered = "_entered";

} // namespace

int TaskGroup::visit(visitproc visitor, void* arg) const noexcept {
    for (const py::Ref* ref : {&loop, &parent_task, &tasks, &errors, &base_error, &on_completed,
                               &observer, &outer_cancel}) {
        if (const int stop = ref->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void TaskGroup::clear() noexcept {
    for (py::Ref* ref : {&loop, &parent_task, &tasks, &errors, &base_error, &on_completed,
                         &observer, &outer_cancel}) {
        ref->reset();
    }
}

bool is_initialized(PyObject* self) noexcept {
    if (!group_of(self).entered.missing()) {
        return true;
    }
    py::raise_no_attribute(self, kEntered);
    return false;
}

PyObject* tasks_of(TaskGroup& group) noexcept {
    if (!group.tasks) {
        group.tasks = py::Ref::steal(PySet_New(nullptr));
    }
    return group.tasks.get();
}

PyObject* errors_of(TaskGroup& group) noexcept {
    if (!group.errors) {
        group.errors = py::Ref::steal(PyList_New(0));
    }
    return group.errors.get();
}

bool append_error(TaskGroup& group, PyObject* error) noexcept {
    const py::Ref errors = py::Ref::borrow(errors_of(group));
    if (errors && PyList_CheckExact(errors.get())) [[likely]] {
        return PyList_Append(errors.get(), error) == 0;
    }
    return errors && py::call_method(errors.get(), py::names().append, error);
}

int is_base_error(PyObject* self, PyObject* error) noexcept {
    if (is_exact_group(self)) [[likely]] {
        return py::is_exit_exception(error) ? 1 : 0;
    }
    return py::truth_of(py::call_method(self, py::names()._is_base_error, error));
}

bool request_parent_cancel(TaskGroup& group) noexcept {
    group.parent_cancel_requested = true;
    const py::Ref parent = py::Ref::borrow(group.parent());
    return static_cast<bool>(py::call_method(parent.get(), py::names().cancel));
}

long uncancel_parent(TaskGroup& group) noexcept {
    const py::Ref parent = py::Ref::borrow(group.parent());
    const py::Ref left = py::call_method(parent.get(), py::names().uncancel);
    return left ? PyLong_AsLong(left.get()) : -1;
}

namespace {

bool abort_tasks(TaskGroup& group) noexcept {
    group.aborting = true;
    if (!group.tasks) {
        return true;
    }
    const py::Ref each = py::Ref::steal(PyObject_GetIter(group.tasks.get()));
    if (!each) {
        return false;
    }
    while (const py::Ref task = py::Ref::steal(PyIter_Next(each.get()))) {
        const int done = core::is_done(task.get());
        if (done < 0 || (done == 0 && !py::call_method(task.get(), py::names().cancel))) {
            return false;
        }
    }
    return PyErr_Occurred() == nullptr;
}

// The first half of cancel(), which a group that was cancelled before it is entered makes up for.
bool cancel_group(PyObject* self, TaskGroup& group) noexcept {
    if (!group.entered.on()) {
        group.cancel_on_enter = true;
        return is_initialized(self);
    }
    const int has_tasks = group.exiting ? group.has_tasks() : 1;
    if (has_tasks <= 0 || group.aborting) {
        return has_tasks >= 0;
    }
    return abort_group(self) &&
           (!group.parent_task || group.parent_cancel_requested || request_parent_cancel(group));
}

core::Step enter(core::Coroutine& co, py::Ref, py::Ref, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    TaskGroup& group = group_of(self);
    if (!group.entered.off()) {
        if (is_initialized(self)) {
            PyErr_Format(PyExc_RuntimeError,
                         py::state().task_group_rules.said_been_already
                             ? "TaskGroup %R has been already entered"
                             : "TaskGroup %R has already been entered",
                         self);
        }
        return core::Step::fail;
    }
    if (!group.loop) {
        group.loop = py::abi::require_running_loop();
    }
    py::Ref parent = group.loop ? py::abi::current_task(group.loop.get()) : py::Ref();
    if (!parent) {
        return core::Step::fail;
    }
    if (parent == Py_None) {
        PyErr_Format(PyExc_RuntimeError, "TaskGroup %R cannot determine the parent task", self);
        return core::Step::fail;
    }
    group.parent_task = std::move(parent);
    group.entered = true;
    if (group.cancel_on_enter &&
        (is_exact_group(self) ? !cancel_group(self, group)
                              : !static_cast<bool>(py::call_method(self, py::names().cancel)))) {
        return core::Step::fail;
    }
    return core::finish_with(result, py::Ref::borrow(self));
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    TaskGroup& group = group_of(args[0]);
    group.entered = false;
    group.exiting = group.aborting = false;
    group.parent_cancel_requested = group.cancel_on_enter = false;
    group.clear();
    Py_RETURN_NONE;
}

PyObject* abort(py::Function&, PyObject* const* args) noexcept {
    return abort_tasks(group_of(args[0])) ? py::new_ref(Py_None) : nullptr;
}

PyObject* cancel(py::Function&, PyObject* const* args) noexcept {
    return cancel_group(args[0], group_of(args[0])) ? py::new_ref(Py_None) : nullptr;
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"_abort", abort},
    {"_on_task_done", group_on_task_done},
    {"cancel", cancel},
    {"create_task", group_create_task},
    core::async_row("__aenter__", enter),
    core::async_row("__aexit__", exit_group),
    core::async_row("_aexit", exit_group_inner),
    {nullptr, nullptr},
};

PyObject* get_tasks(PyObject* self, void*) noexcept {
    return is_initialized(self) ? py::Ref::borrow(tasks_of(group_of(self))).release() : nullptr;
}

PyObject* get_errors(PyObject* self, void*) noexcept {
    return is_initialized(self) ? py::Ref::borrow(errors_of(group_of(self))).release() : nullptr;
}

template <py::Ref TaskGroup::* Field>
int set_container(PyObject* self, PyObject* value, void*) noexcept {
    group_of(self).*Field = py::Ref::borrow(value);
    return 0;
}

using sync::optional_property;
using sync::property;
using G = TaskGroup;

PyGetSetDef kProperties[] = {
    property<G, &G::entered>(kEntered),
    property<G, &G::exiting>("_exiting"),
    property<G, &G::aborting>("_aborting"),
    property<G, &G::parent_cancel_requested>("_parent_cancel_requested"),
    optional_property<G, &G::loop>("_loop"),
    optional_property<G, &G::parent_task>("_parent_task"),
    optional_property<G, &G::base_error>("_base_error"),
    optional_property<G, &G::on_completed>("_on_completed_fut"),
    {"_tasks", get_tasks, set_container<&G::tasks>, nullptr, nullptr},
    {"_errors", get_errors, set_container<&G::errors>, nullptr, nullptr},
    {"__dict__", sync::get_dict, sync::set_dict, nullptr, kProperties},
    sync::kEndOfProperties,
};

// Where cancel() is.
PyGetSetDef kCancelProperties[] = {
    property<G, &G::cancel_on_enter>("_cancel_on_enter"),
    sync::kEndOfProperties,
};

void find_rules(py::TaskGroupRules& rules) noexcept {
    const auto mentions = [](const char* method, const char* name) noexcept {
        return py::twin_mentions("asyncio.taskgroups", method, name);
    };
    const char* const make = "TaskGroup.create_task";
    rules.closes_refused = mentions(make, "close");
    rules.names_afterwards = mentions(make, "_set_task_name");
    rules.cancels_late = mentions(make, "cancel");
    rules.sees_done_at_once = mentions(make, "done") && !rules.cancels_late;
    rules.adds_edges = mentions(make, "future_add_to_awaited_by");
    rules.forgets = mentions("TaskGroup.__aexit__", "_aexit");
    const char* const leave = rules.forgets ? "TaskGroup._aexit" : "TaskGroup.__aexit__";
    rules.takes_subclasses = mentions(leave, "issubclass");
    rules.uncancels_late = mentions(leave, "cancelling");
    rules.keeps_outer_cancel = mentions(leave, "pending_cancellation_error");
    rules.passes_generator_exit = mentions(leave, "GeneratorExit");
    rules.said_been_already = mentions("TaskGroup.__aenter__", " has been already entered");
    rules.suppresses = mentions("TaskGroup.cancel", "_abort");
}

} // namespace

bool abort_group(PyObject* self) noexcept {
    return is_exact_group(self) ? abort_tasks(group_of(self))
                                : static_cast<bool>(py::call_method(self, py::names()._abort));
}

bool make_task_group_type(PyObject* module) noexcept {
    py::State& state = py::state();
    find_rules(state.task_group_rules);
    sync::PrimitiveRecipe recipe = {"bucle.TaskGroup", "asyncio.TaskGroup, native.",
                                    "asyncio.taskgroups"};
    recipe.functions = kFunctions;
    recipe.getset = kProperties;
    state.task_group_type = sync::make_primitive<TaskGroup>(module, recipe);
    return state.task_group_type != nullptr &&
           (!state.task_group_rules.suppresses ||
            py::add_getset(state.task_group_type, kCancelProperties));
}

} // namespace bucle::combine
