// create_future, create_task, task factories. The rules of create_task changed within minor
// series, so the installed asyncio is asked (State::create_task_rules), not its version.
#include "loop/loop.hpp"

#include "core/task.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

using py::CreateTaskRules;

struct TaskKeywords {
    PyObject* name = nullptr;
    PyObject* context = nullptr;
    PyObject* eager_start = nullptr;
    PyObject* unknown = nullptr; // the first that Task does not know
};

TaskKeywords sort_keywords(PyObject* const* values, PyObject* kwnames) noexcept {
    const py::Names& names = py::names();
    TaskKeywords found;
    const Py_ssize_t count = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* key = PyTuple_GET_ITEM(kwnames, i);
        PyObject** place = PyUnicode_Compare(key, names.name) == 0          ? &found.name
                           : PyUnicode_Compare(key, names.context) == 0     ? &found.context
                           : PyUnicode_Compare(key, names.eager_start) == 0 ? &found.eager_start
                                                                            : &found.unknown;
        *place = place == &found.unknown ? key : values[i];
    }
    return found;
}

bool refuse_unknown(const TaskKeywords& given) noexcept {
    const CreateTaskRules rules = py::state().create_task_rules;
    PyObject* bad = given.unknown;
    if (bad == nullptr && given.eager_start != nullptr && rules == CreateTaskRules::two_keywords) {
        bad = py::names().eager_start;
    }
    if (bad != nullptr) {
        PyErr_Format(PyExc_TypeError, "%s got an unexpected keyword argument '%U'",
                     rules == CreateTaskRules::two_keywords ? "Loop.create_task()" : "Task()", bad);
    }
    return bad == nullptr;
}

// From 3.14 on: the factory is given what the caller gave.
PyObject* call_factory_as_given(PyObject* factory, PyObject* self, PyObject* coro,
                                PyObject* const* values, PyObject* kwnames) noexcept {
    py::ArgStack stack;
    return stack.add(self) && stack.add(coro) &&
                   stack.add(values, kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames))
               ? PyObject_Vectorcall(factory, stack.data(), 2, kwnames)
               : nullptr;
}

// Before: the name is set afterwards, the context is passed only if there is one.
PyObject* call_factory_and_name(PyObject* factory, PyObject* self, PyObject* coro,
                                const TaskKeywords& given, PyObject* const* values,
                                PyObject* kwnames) noexcept {
    py::Ref keywords = py::Ref::steal(PyDict_New());
    py::Ref positional = py::Ref::steal(PyTuple_Pack(2, self, coro));
    if (!keywords || !positional) {
        return nullptr;
    }
    const Py_ssize_t count = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* key = PyTuple_GET_ITEM(kwnames, i);
        const bool skipped = PyUnicode_Compare(key, py::names().name) == 0 ||
                             (values[i] == given.context && values[i] == Py_None);
        if (!skipped && PyDict_SetItem(keywords.get(), key, values[i]) < 0) {
            return nullptr;
        }
    }
    py::Ref task = py::Ref::steal(PyObject_Call(factory, positional.get(), keywords.get()));
    if (!task || given.name == nullptr || given.name == Py_None) {
        return task.release();
    }
    py::Ref set_name = py::get_optional_attr(task.get(), py::names().set_name);
    if (!set_name) {
        return PyErr_Occurred() != nullptr ? nullptr : task.release();
    }
    return py::call(set_name.get(), given.name) ? task.release() : nullptr;
}

PyObject* create_task(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* kwnames) noexcept;

// create_task(coro=...): the same again, the coroutine by position.
PyObject* create_task_by_name(PyObject* self, PyObject* const* values, PyObject* kwnames) noexcept {
    const Py_ssize_t count = PyTuple_GET_SIZE(kwnames);
    Py_ssize_t at = 0;
    while (at < count && PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, at), py::names().coro) != 0) {
        ++at;
    }
    if (at == count) {
        return create_task(self, nullptr, 0, nullptr); // says that it is missing
    }
    py::Ref before = py::Ref::steal(PyTuple_GetSlice(kwnames, 0, at));
    py::Ref after = py::Ref::steal(PyTuple_GetSlice(kwnames, at + 1, count));
    py::Ref others =
        before && after ? py::Ref::steal(PySequence_Concat(before.get(), after.get())) : py::Ref();
    py::ArgStack stack;
    if (!others || !stack.add(values[at]) || !stack.add(values, at) ||
        !stack.add(values + at + 1, count - at - 1)) {
        return nullptr;
    }
    return create_task(self, stack.data(), 1, count == 1 ? nullptr : others.get());
}

PyObject* create_task(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* kwnames) noexcept {
    if (nargs == 0 && kwnames != nullptr) [[unlikely]] {
        return create_task_by_name(self, args, kwnames);
    }
    if (nargs != 1) [[unlikely]] {
        PyErr_Format(PyExc_TypeError,
                     nargs == 0
                         ? "Loop.create_task() missing 1 required positional argument: 'coro'"
                         : "Loop.create_task() takes 2 positional arguments but %zd were given",
                     nargs + 1);
        return nullptr;
    }
    PyObject* const coro = args[0];
    PyObject* const* values = args + nargs;
    LoopCore& core = *loop_core(self);
    if (!core::check_closed(core)) {
        return nullptr;
    }
    const TaskKeywords given = sort_keywords(values, kwnames);
    if (core.task_factory) {
        const py::Ref factory = core.task_factory.clone();
        if (py::state().create_task_rules == CreateTaskRules::all_to_factory) {
            return call_factory_as_given(factory.get(), self, coro, values, kwnames);
        }
        if (py::state().create_task_rules == CreateTaskRules::two_keywords &&
            !refuse_unknown(given)) {
            return nullptr;
        }
        return call_factory_and_name(factory.get(), self, coro, given, values, kwnames);
    }
    if (kwnames != nullptr && !refuse_unknown(given)) {
        return nullptr;
    }
    const int eager = given.eager_start == nullptr ? 0 : PyObject_IsTrue(given.eager_start);
    if (eager < 0) {
        return nullptr;
    }
    return core::make_task(coro, self, given.name, given.context, eager > 0).release();
}

PyObject* create_future(PyObject* self, PyObject*) noexcept {
    return core::make_future(self).release();
}

PyObject* set_task_factory(PyObject* self, PyObject* factory) noexcept {
    if (factory != Py_None && PyCallable_Check(factory) == 0) {
        return py::raise_type_error("task factory must be a callable or None");
    }
    loop_core(self)->task_factory = factory == Py_None ? py::Ref() : py::Ref::borrow(factory);
    Py_RETURN_NONE;
}

PyObject* get_task_factory(PyObject* self, PyObject*) noexcept {
    return py::value_or_none(loop_core(self)->task_factory.get());
}

constexpr char kFactory[] = "factory";
constexpr char kSetTaskFactory[] = "set_task_factory";

} // namespace

PyMethodDef task_methods[5] = {
    {"create_future", create_future, METH_NOARGS,
     "create_future($self, /)\n--\n\n"
     "Return a new Future bound to the loop."},
    {"create_task", py::as_method(create_task), METH_FASTCALL | METH_KEYWORDS,
     nullptr /* describe_create_task() */},
    {"set_task_factory", py::as_method(one_argument<set_task_factory, kSetTaskFactory, kFactory>),
     METH_FASTCALL | METH_KEYWORDS,
     "set_task_factory($self, /, factory)\n--\n\n"
     "Set what create_task() calls as factory(loop, coro); None restores Task."},
    {"get_task_factory", get_task_factory, METH_NOARGS,
     "get_task_factory($self, /)\n--\n\n"
     "Return the task factory, or None."},
    {nullptr, nullptr, 0, nullptr},
};

void describe_create_task() noexcept {
    for (PyMethodDef& def : task_methods) {
        if (def.ml_meth != py::as_method(create_task)) {
            continue;
        }
        switch (py::state().create_task_rules) {
        case CreateTaskRules::two_keywords:
            def.ml_doc = "create_task($self, /, coro, *, name=None, context=None)\n--\n\n"
                         "Schedule a coroutine as a Task.";
            break;
        case CreateTaskRules::more_keywords:
            def.ml_doc = "create_task($self, /, coro, *, name=None, context=None, **kwargs)\n--\n\n"
                         "Schedule a coroutine as a Task.";
            break;
        case CreateTaskRules::all_to_factory:
            def.ml_doc = "create_task($self, /, coro, **kwargs)\n--\n\n"
                         "Schedule a coroutine as a Task.";
            break;
        }
    }
}

} // namespace bucle::loop
