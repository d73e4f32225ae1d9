// The run-time half of asyncio_abi.hpp: mirrors, registration, the current task.
#include "py/asyncio_abi.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::py::abi {
namespace {

const AsyncioFunctions& functions() noexcept {
    return state().asyncio;
}

PyObject* this_thread() noexcept {
    return reinterpret_cast<PyObject*>(PyThreadState_Get());
}

} // namespace

void mirror_context(PyObject* task, PyObject* context) noexcept {
    if (layout.mirrors) {
        slot_at(task, layout.context) = context == nullptr ? state().empty_context : context;
    }
}

void mirror_new_task(PyObject* task, PyObject* coro, PyObject* context) noexcept {
    if (!layout.mirrors) {
        return;
    }
    slot_at(task, layout.coro) = coro;
    mirror_context(task, context);
    // asyncio.Task.cancel(t) forwards to the waiter's cancel(): the waiter is the task itself.
    slot_at(task, layout.waiter) = task;
    if (layout.registers_tasks) {
        reinterpret_cast<char*>(task)[layout.is_task] = 1;
    }
}

void mirror_done(PyObject* self, PyObject* loop, int state, PyObject* result, PyObject* exception,
                 PyObject* cancel_message) noexcept {
    if (layout.mirrors) {
        slot_at(self, layout.loop) = loop;
        int_at(self, layout.state) = state;
        slot_at(self, layout.result) = result;
        slot_at(self, layout.exception) = exception;
        slot_at(self, layout.cancel_message) = cancel_message;
    }
}

void clear_mirrors(PyObject* self, bool is_task) noexcept {
    if (!layout.mirrors) {
        return;
    }
    int_at(self, layout.state) = 0;
    slot_at(self, layout.loop) = nullptr;
    slot_at(self, layout.result) = nullptr;
    slot_at(self, layout.exception) = nullptr;
    slot_at(self, layout.cancel_message) = nullptr;
    if (is_task) {
        slot_at(self, layout.coro) = nullptr;
        slot_at(self, layout.context) = nullptr;
        slot_at(self, layout.waiter) = nullptr;
    }
}

bool add_awaited_by(PyObject* future, PyObject* waiter) noexcept {
    if (!compat::kThreadStateKnowsTasks) {
        return true;
    }
    if (layout.registers_tasks) {
        PyObject*& slot = slot_at(future, layout.awaited_by);
        if (slot == nullptr) {
            slot = Py_NewRef(waiter);
            reinterpret_cast<char*>(future)[layout.awaited_by_is_set] = 0;
            return true;
        }
    }
    const AsyncioFunctions& f = functions();
    return f.add_awaited_by == nullptr || static_cast<bool>(call(f.add_awaited_by, future, waiter));
}

bool discard_awaited_by(PyObject* future, PyObject* waiter) noexcept {
    if (!compat::kThreadStateKnowsTasks) {
        return true;
    }
    if (layout.registers_tasks) {
        PyObject*& slot = slot_at(future, layout.awaited_by);
        if (slot == nullptr) {
            return true;
        }
        if (reinterpret_cast<char*>(future)[layout.awaited_by_is_set] == 0) {
            if (slot == waiter) {
                Py_CLEAR(slot);
            }
            return true;
        }
    }
    const AsyncioFunctions& f = functions();
    return f.discard_awaited_by == nullptr ||
           static_cast<bool>(call(f.discard_awaited_by, future, waiter));
}

bool add_awaited_by_any(PyObject* future, PyObject* waiter) noexcept {
    PyObject* add = functions().add_awaited_by;
    return add == nullptr || static_cast<bool>(call(add, future, waiter));
}

bool discard_awaited_by_any(PyObject* future, PyObject* waiter) noexcept {
    PyObject* discard = functions().discard_awaited_by;
    return discard == nullptr || static_cast<bool>(call(discard, future, waiter));
}

int visit_awaited_by(PyObject* self, visitproc visit, void* arg) noexcept {
    if (layout.registers_tasks) {
        Py_VISIT(slot_at(self, layout.awaited_by));
    }
    return 0;
}

void clear_awaited_by(PyObject* self) noexcept {
    if (layout.registers_tasks) {
        Py_CLEAR(slot_at(self, layout.awaited_by));
    }
}

// CPython's own links: a circular list through the tasks, next before prev.
namespace {

struct Links {
    Links* next;
    Links* prev;
};

Links& links_at(void* object, Py_ssize_t offset) noexcept {
    return *reinterpret_cast<Links*>(static_cast<char*>(object) + offset);
}

} // namespace

bool register_task(PyObject* task) noexcept {
    if (!layout.registers_tasks) {
        return true;
    }
    if (!layout.fast_current_task) {
        return static_cast<bool>(call(functions().register_task, task));
    }
    Links& node = links_at(task, layout.node);
    if (node.next == nullptr) {
        Links& head = links_at(this_thread(), layout.thread_tasks_head);
        node.prev = head.prev;
        node.next = &head;
        head.prev->next = &node;
        head.prev = &node;
    }
    return true;
}

bool unregister_task(PyObject* task) noexcept {
    if (!layout.registers_tasks) {
        return true;
    }
    if (!layout.fast_current_task) {
        return static_cast<bool>(call(functions().unregister_task, task));
    }
    Links& node = links_at(task, layout.node);
    if (node.next != nullptr) {
        node.prev->next = node.next;
        node.next->prev = node.prev;
        node.next = node.prev = nullptr;
    }
    return true;
}

void forget_task(PyObject* task) noexcept {
    if (!layout.mirrors) {
        return;
    }
    int_at(task, layout.cancels) = 0;
    Py_CLEAR(slot_at(task, layout.name));
    if (layout.registers_tasks) {
        reinterpret_cast<char*>(task)[layout.is_task] = 0;
    }
}

bool enter_task(PyObject* loop, PyObject* task) noexcept {
    return static_cast<bool>(call(functions().enter_task, loop, task));
}

bool leave_task(PyObject* loop, PyObject* task) noexcept {
    return static_cast<bool>(call(functions().leave_task, loop, task));
}

Ref swap_current_task(PyObject* loop, PyObject* task) noexcept {
    const AsyncioFunctions& f = functions();
    PyObject* next = task == nullptr ? Py_None : task;
    if (f.swap_current_task != nullptr) {
        return call(f.swap_current_task, loop, next);
    }
    Ref previous = Ref::borrow(PyDict_GetItemWithError(f.current_tasks, loop));
    if (!previous) {
        if (PyErr_Occurred() != nullptr) {
            return {};
        }
        previous = none();
    }
    if (task == nullptr ? previous.get() != Py_None && PyDict_DelItem(f.current_tasks, loop) < 0
                        : PyDict_SetItem(f.current_tasks, loop, task) < 0) {
        return {};
    }
    return previous;
}

Ref current_task(PyObject* loop) noexcept {
    if (compat::kThreadStateKnowsTasks && layout.fast_current_task) {
        PyObject* const thread = this_thread();
        if (slot_at(thread, layout.thread_running_loop) == loop) [[likely]] {
            PyObject* const task = slot_at(thread, layout.thread_running_task);
            return Ref::borrow(task == nullptr ? Py_None : task);
        }
    }
    const AsyncioFunctions& f = functions();
    if (f.current_tasks == nullptr) {
        return call(f.current_task, loop);
    }
    PyObject* task = PyDict_GetItemWithError(f.current_tasks, loop);
    return task == nullptr && PyErr_Occurred() != nullptr
               ? Ref()
               : Ref::borrow(task == nullptr ? Py_None : task);
}

Ref running_loop() noexcept {
    if constexpr (compat::kThreadStateKnowsTasks) {
        if (layout.fast_current_task) {
            return Ref::borrow(slot_at(this_thread(), layout.thread_running_loop));
        }
    }
    Ref loop = call(state().running_loop_or_none);
    return loop.get() == Py_None ? Ref() : std::move(loop);
}

Ref require_running_loop() noexcept {
    Ref loop = running_loop();
    if (!loop && PyErr_Occurred() == nullptr) {
        raise_runtime_error("no running event loop");
    }
    return loop;
}

bool set_current([[maybe_unused]] PyThreadState* state, PyObject* loop, PyObject* task,
                 bool& lingering) noexcept {
    if constexpr (compat::kThreadStateKnowsTasks) {
        if (layout.fast_current_task) {
            auto* thread = reinterpret_cast<PyObject*>(state);
            PyObject*& slot = slot_at(thread, layout.thread_running_task);
            if (slot == nullptr && slot_at(thread, layout.thread_running_loop) == loop) [[likely]] {
                slot = Py_NewRef(task);
                return true;
            }
        }
        return enter_task(loop, task);
    } else {
        PyObject* current = functions().current_tasks;
        if (current == nullptr) {
            return enter_task(loop, task);
        }
        if (!lingering) {
            PyObject* entered = PyDict_GetItemWithError(current, loop);
            if (entered != nullptr || PyErr_Occurred() != nullptr) {
                return entered != nullptr && enter_task(loop, task); // raises asyncio's error
            }
        }
        lingering = false;
        return PyDict_SetItem(current, loop, task) == 0;
    }
}

bool unset_current([[maybe_unused]] PyThreadState* state, PyObject* loop, PyObject* task,
                   bool& lingering) noexcept {
    if constexpr (compat::kThreadStateKnowsTasks) {
        if (layout.fast_current_task) {
            auto* thread = reinterpret_cast<PyObject*>(state);
            PyObject*& slot = slot_at(thread, layout.thread_running_task);
            if (slot == task && slot_at(thread, layout.thread_running_loop) == loop) [[likely]] {
                slot = nullptr;
                Py_DECREF(task); // the caller holds another reference
                return true;
            }
        }
        return leave_task(loop, task);
    } else {
        PyObject* current = functions().current_tasks;
        if (current == nullptr || PyDict_GetItemWithError(current, loop) != task) {
            PyErr_Clear();
            return leave_task(loop, task); // raises asyncio's error
        }
        lingering = true;
        return true;
    }
}

void clear_lingering(PyObject* loop, bool& lingering) noexcept {
    if (lingering) {
        lingering = false;
        PyObject* current = functions().current_tasks;
        if (PyDict_DelItem(current, loop) < 0) {
            PyErr_Clear();
        }
    }
}

} // namespace bucle::py::abi
