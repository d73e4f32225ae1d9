// Finding abi::Layout: makes stock futures and tasks on a stand-in loop, looks for known pointers
// and numbers in their memory, writes one value through each guess and reads it back by the stock
// attribute. Nothing is kept of the probes.
#include "py/asyncio_abi.hpp"
#include "py/asyncio_debug_section.hpp"
#include "py/call.hpp"
#include "py/compat.hpp"

#include <cstring>

namespace bucle::py::abi {

Layout layout;

namespace {

constexpr const char* kProbeSource = R"(
import _asyncio, contextvars
class Loop:
    def get_debug(self): return False
    def call_soon(self, callback, *args, context=None): pass
    def call_exception_handler(self, context): pass
    def is_running(self): return False
async def coroutine(): pass
loop = Loop()
result, error = object(), ValueError('probe')
pending, finished, failed, cancelled = (_asyncio.Future(loop=loop) for _ in range(4))
finished.set_result(result)
failed.set_exception(error)
failed.exception()
message = 'bucle-probe-message'
cancelled.cancel(message)
coro = coroutine()
context = contextvars.copy_context()
task = _asyncio.Task(coro, loop=loop, name='bucle-probe', context=context)
task._log_destroy_pending = False
name = task.get_name()
for _ in range(3): task.cancel()
coro.close()
)";

PyObject* item(PyObject* dict, const char* name) noexcept {
    return PyDict_GetItemString(dict, name); // borrowed
}

// The offset of the only word of `self` that holds `pointer`, or 0.
Py_ssize_t find_pointer(PyObject* self, PyObject* pointer) noexcept {
    Py_ssize_t found = 0;
    const auto size = Py_TYPE(self)->tp_basicsize;
    for (auto at = static_cast<Py_ssize_t>(sizeof(PyObject));
         at + static_cast<Py_ssize_t>(sizeof(void*)) <= size; at += sizeof(void*)) {
        if (slot_at(self, at) == pointer) {
            if (found != 0) {
                return 0;
            }
            found = at;
        }
    }
    return found;
}

Py_ssize_t find_state(PyObject* pending, PyObject* finished, PyObject* cancelled) noexcept {
    Py_ssize_t found = 0;
    const auto size = Py_TYPE(pending)->tp_basicsize;
    for (auto at = static_cast<Py_ssize_t>(sizeof(PyObject)); at + 4 <= size; at += 4) {
        if (int_at(pending, at) == 0 && int_at(finished, at) == 2 && int_at(cancelled, at) == 1) {
            if (found != 0) {
                return 0;
            }
            found = at;
        }
    }
    return found;
}

// The int32 of `task` that reads 3 and that cancelling() follows when it is changed.
Py_ssize_t find_cancels(PyObject* task) noexcept {
    const auto size = Py_TYPE(task)->tp_basicsize;
    for (auto at = static_cast<Py_ssize_t>(sizeof(PyObject)); at + 4 <= size; at += 4) {
        if (int_at(task, at) != 3) {
            continue;
        }
        int_at(task, at) = 5;
        Ref count = Ref::steal(PyObject_CallMethod(task, "cancelling", nullptr));
        int_at(task, at) = 3;
        if (count && PyLong_AsLong(count.get()) == 5) {
            return at;
        }
        PyErr_Clear();
    }
    return 0;
}

// The waiter stands in the word before the coroutine: believed only if the stock getter agrees.
Py_ssize_t find_waiter(PyObject* task, Py_ssize_t coro, PyObject* future) noexcept {
    const Py_ssize_t at = coro - static_cast<Py_ssize_t>(sizeof(void*));
    if (coro == 0 || slot_at(task, at) != nullptr) {
        return 0;
    }
    slot_at(task, at) = future;
    Ref seen = Ref::steal(PyObject_GetAttrString(task, "_fut_waiter"));
    slot_at(task, at) = nullptr;
    PyErr_Clear();
    return seen.get() == future ? at : 0;
}

bool probe_mirrors(PyObject* found) noexcept {
    PyObject* pending = item(found, "pending");
    PyObject* task = item(found, "task");
    layout.loop = find_pointer(pending, item(found, "loop"));
    layout.state = find_state(pending, item(found, "finished"), item(found, "cancelled"));
    layout.result = find_pointer(item(found, "finished"), item(found, "result"));
    layout.exception = find_pointer(item(found, "failed"), item(found, "error"));
    layout.cancel_message = find_pointer(item(found, "cancelled"), item(found, "message"));
    layout.coro = find_pointer(task, item(found, "coro"));
    layout.name = find_pointer(task, item(found, "name"));
    layout.context = find_pointer(task, item(found, "context"));
    layout.cancels = find_cancels(task);
    layout.waiter = find_waiter(task, layout.coro, pending);
    return layout.loop != 0 && layout.state != 0 && layout.result != 0 && layout.exception != 0 &&
           layout.cancel_message != 0 && layout.coro != 0 && layout.name != 0 &&
           layout.context != 0 && layout.cancels != 0 && layout.waiter != 0;
}

Ref binary_of_asyncio() noexcept {
    Ref module = Ref::steal(PyImport_ImportModule("_asyncio"));
    Ref spec = module ? Ref::steal(PyObject_GetAttrString(module.get(), "__spec__")) : Ref();
    Ref origin = spec ? Ref::steal(PyObject_GetAttrString(spec.get(), "origin")) : Ref();
    PyErr_Clear();
    if (origin && PyUnicode_Check(origin.get()) &&
        PyUnicode_CompareWithASCIIString(origin.get(), "built-in") != 0) {
        return origin;
    }
    return Ref::borrow(PySys_GetObject("executable"));
}

// The thread state's slots, believed only if the running loop shows up where it should.
bool thread_offsets_hold(const State& state, const AsyncioDebugOffsets& offsets,
                         PyObject* loop) noexcept {
    Ref running = call(state.running_loop_or_none);
    if (!running || !call(state.set_running_loop, loop)) {
        PyErr_Clear();
        return false;
    }
    auto* thread = reinterpret_cast<PyObject*>(PyThreadState_Get());
    const bool holds =
        slot_at(thread, static_cast<Py_ssize_t>(offsets.thread.running_loop)) == loop;
    Ref restored = call(state.set_running_loop, running.get());
    PyErr_Clear();
    return holds;
}

// The probe's task is registered, so it must be met on the way around the thread's list.
bool list_holds_task(PyObject* task) noexcept {
    struct Links {
        Links* next;
        Links* prev;
    };
    auto* const head = reinterpret_cast<Links*>(reinterpret_cast<char*>(PyThreadState_Get()) +
                                                layout.thread_tasks_head);
    auto* const node = reinterpret_cast<Links*>(reinterpret_cast<char*>(task) + layout.node);
    // It was made last: it stands at the tail.
    return head->prev == node && node->next == head && node->prev->next == node;
}

void probe_debug_section(const State& state, PyObject* found) noexcept {
    AsyncioDebugOffsets offsets = {};
    Ref path = binary_of_asyncio();
    const char* text = path && PyUnicode_Check(path.get()) ? PyUnicode_AsUTF8(path.get()) : nullptr;
    if (text == nullptr || !read_asyncio_debug_offsets(text, &offsets)) {
        PyErr_Clear();
        layout.reason = "the interpreter publishes no .AsyncioDebug section";
        return;
    }
    const auto task_size = static_cast<std::uint64_t>(state.base_task->tp_basicsize);
    if (offsets.task.size != task_size || offsets.task.awaited_by + 8 > task_size ||
        static_cast<Py_ssize_t>(offsets.task.coro) != layout.coro ||
        static_cast<Py_ssize_t>(offsets.task.name) != layout.name ||
        offsets.task.is_task >= task_size || offsets.task.awaited_by_is_set >= task_size) {
        layout.reason = "the .AsyncioDebug section does not fit _asyncio.Task";
        return;
    }
    layout.is_task = static_cast<Py_ssize_t>(offsets.task.is_task);
    layout.awaited_by = static_cast<Py_ssize_t>(offsets.task.awaited_by);
    layout.awaited_by_is_set = static_cast<Py_ssize_t>(offsets.task.awaited_by_is_set);
    layout.node = static_cast<Py_ssize_t>(offsets.task.node);
    layout.thread_tasks_head = static_cast<Py_ssize_t>(offsets.thread.tasks_head);
    layout.registers_tasks = true;
    layout.thread_running_loop = static_cast<Py_ssize_t>(offsets.thread.running_loop);
    layout.thread_running_task = static_cast<Py_ssize_t>(offsets.thread.running_task);
    layout.fast_current_task = thread_offsets_hold(state, offsets, item(found, "loop")) &&
                               list_holds_task(item(found, "task"));
    if (!layout.fast_current_task) {
        layout.reason = "the thread state's slots were not found";
    }
}

void set_bool(PyObject* dict, const char* name, bool value) noexcept {
    PyDict_SetItemString(dict, name, value ? Py_True : Py_False);
}

} // namespace

bool probe(State& state) noexcept {
    Ref found = Ref::steal(PyDict_New());
    if (!found || PyDict_SetItemString(found.get(), "__builtins__", PyEval_GetBuiltins()) < 0) {
        return false;
    }
    Ref done = Ref::steal(PyRun_String(kProbeSource, Py_file_input, found.get(), found.get()));
    if (!done) {
        return false;
    }
    layout.mirrors = probe_mirrors(found.get());
    if (!layout.mirrors) {
        layout.reason = "the fields of _asyncio.Task were not found";
    } else if (compat::kThreadStateKnowsTasks) {
        probe_debug_section(state, found.get());
    }
    PyDict_Clear(found.get());
    return true;
}

Ref describe() noexcept {
    Ref out = Ref::steal(PyDict_New());
    if (!out) {
        return out;
    }
    set_bool(out.get(), "mirrors", layout.mirrors);
    set_bool(out.get(), "registered_tasks",
             layout.registers_tasks || !compat::kThreadStateKnowsTasks);
    set_bool(out.get(), "fast_current_task",
             layout.fast_current_task || !compat::kThreadStateKnowsTasks);
    const bool passed = layout.mirrors && layout.reason[0] == '\0';
    set_bool(out.get(), "passed", passed);
    Ref reason = Ref::steal(PyUnicode_FromString(layout.reason));
    if (!reason || PyDict_SetItemString(out.get(), "reason", reason.get()) < 0) {
        return {};
    }
    return out;
}

} // namespace bucle::py::abi
