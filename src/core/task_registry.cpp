// Which tasks exist. From 3.14 on the interpreter's own list keeps them, so that asyncio's
// functions and its external debugger see them; up to 3.13, where registering means a call of
// WeakSet.add() in Python (400 ns), they stand in a list of ours, which all_tasks() is shown by a
// proxy (bucle/_compat.py). Tasks are held weakly, as in asyncio.
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"

#include <new>

namespace bucle::core {
namespace {

using TaskList = base::IntrusiveList<TaskCore, &TaskCore::node>;

// Addresses only, no references; an interpreter's tasks are in its own list.
TaskList& live_tasks() noexcept {
    return *static_cast<TaskList*>(py::state().live_tasks);
}

} // namespace

bool make_task_list() noexcept {
    py::State& state = py::state();
    if (state.live_tasks == nullptr) {
        state.live_tasks = new (std::nothrow) TaskList;
    }
    if (state.live_tasks == nullptr) {
        PyErr_NoMemory();
    }
    return state.live_tasks != nullptr;
}

bool register_task(PyObject* task, TaskCore& core) noexcept {
    if constexpr (py::compat::kThreadStateKnowsTasks) {
        return py::abi::register_task(task);
    }
    if (!TaskList::linked(&core)) {
        live_tasks().push_back(&core);
    }
    return true;
}

bool unregister_task(PyObject* task, TaskCore& core) noexcept {
    if constexpr (py::compat::kThreadStateKnowsTasks) {
        return py::abi::unregister_task(task);
    }
    TaskList::unlink(&core);
    return true;
}

py::Ref list_native_tasks() noexcept {
    py::Ref list = py::Ref::steal(PyList_New(0));
    if (!list || py::compat::kThreadStateKnowsTasks) {
        return list;
    }
    for (TaskCore& core : live_tasks()) {
        auto* task = reinterpret_cast<PyObject*>(reinterpret_cast<char*>(&core) - task_offset);
        if (PyList_Append(list.get(), task) < 0) {
            return {};
        }
    }
    return list;
}

} // namespace bucle::core
