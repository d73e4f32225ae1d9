// Finding abi::Layout: makes stock futures and tasks on a stand-in loop, looks for known pointers
// and numbers in their memory, writes one value through each guess and reads it back by the stock
// attribute. Nothing is kept of the probes.
#include "py/asyncio_abi.hpp"
#include "py/asyncio_debug_section.hpp"
#include "py/call.hpp"
#include "py/compat.hpp"

#include <mutex>

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

bool probe_mirrors(Layout& out, PyObject* found) noexcept {
    PyObject* pending = item(found, "pending");
    PyObject* task = item(found, "task");
    out.loop = find_pointer(pending, item(found, "loop"));
    out.state = find_state(pending, item(found, "finished"), item(found, "cancelled"));
    out.result = find_pointer(item(found, "finished"), item(found, "result"));
    out.exception = find_pointer(item(found, "failed"), item(found, "error"));
    out.cancel_message = find_pointer(item(found, "cancelled"), item(found, "message"));
    out.coro = find_pointer(task, item(found, "coro"));
    out.name = find_pointer(task, item(found, "name"));
    out.context = find_pointer(task, item(found, "context"));
    out.cancels = find_cancels(task);
    out.waiter = find_waiter(task, out.coro, pending);
    return out.loop != 0 && out.state != 0 && out.result != 0 && out.exception != 0 &&
           out.cancel_message != 0 && out.coro != 0 && out.name != 0 && out.context != 0 &&
           out.cancels != 0 && out.waiter != 0;
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
bool list_holds_task(const Layout& out, PyObject* task) noexcept {
    struct Links {
        Links* next;
        Links* prev;
    };
    auto* const head = reinterpret_cast<Links*>(reinterpret_cast<char*>(PyThreadState_Get()) +
                                                out.thread_tasks_head);
    auto* const node = reinterpret_cast<Links*>(reinterpret_cast<char*>(task) + out.node);
    // It was made last: it stands at the tail.
    return head->prev == node && node->next == head && node->prev->next == node;
}

void probe_debug_section(Layout& out, const State& state, PyObject* found) noexcept {
    AsyncioDebugOffsets offsets = {};
    Ref path = binary_of_asyncio();
    const char* text = path && PyUnicode_Check(path.get()) ? PyUnicode_AsUTF8(path.get()) : nullptr;
    if (text == nullptr || !read_asyncio_debug_offsets(text, &offsets)) {
        PyErr_Clear();
        out.reason = "the interpreter publishes no .AsyncioDebug section";
        return;
    }
    const auto task_size = static_cast<std::uint64_t>(state.base_task->tp_basicsize);
    if (offsets.task.size != task_size || offsets.task.awaited_by + 8 > task_size ||
        static_cast<Py_ssize_t>(offsets.task.coro) != out.coro ||
        static_cast<Py_ssize_t>(offsets.task.name) != out.name ||
        offsets.task.is_task >= task_size || offsets.task.awaited_by_is_set >= task_size) {
        out.reason = "the .AsyncioDebug section does not fit _asyncio.Task";
        return;
    }
    out.is_task = static_cast<Py_ssize_t>(offsets.task.is_task);
    out.awaited_by = static_cast<Py_ssize_t>(offsets.task.awaited_by);
    out.awaited_by_is_set = static_cast<Py_ssize_t>(offsets.task.awaited_by_is_set);
    out.node = static_cast<Py_ssize_t>(offsets.task.node);
    out.thread_tasks_head = static_cast<Py_ssize_t>(offsets.thread.tasks_head);
    out.registers_tasks = true;
    out.thread_running_loop = static_cast<Py_ssize_t>(offsets.thread.running_loop);
    out.thread_running_task = static_cast<Py_ssize_t>(offsets.thread.running_task);
    out.fast_current_task = thread_offsets_hold(state, offsets, item(found, "loop")) &&
                            list_holds_task(out, item(found, "task"));
    if (!out.fast_current_task) {
        out.reason = "the thread state's slots were not found";
    }
}

void set_bool(PyObject* dict, const char* name, bool value) noexcept {
    PyDict_SetItemString(dict, name, value ? Py_True : Py_False);
}

// Live objects of other interpreters stand on what the first one found: a later import that finds
// something else, with a patched _asyncio say, is refused.
bool publish(const Layout& probed) noexcept {
    static std::mutex mutex;
    static bool published = false;
    const std::lock_guard lock(mutex);
    if (published && !(probed == layout)) {
        PyErr_SetString(PyExc_ImportError,
                        "bucle found _asyncio different here from another interpreter of this "
                        "process");
        return false;
    }
    if (!published) {
        layout = probed;
        published = true;
    }
    return true;
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
    Layout probed;
    probed.mirrors = probe_mirrors(probed, found.get());
    if (!probed.mirrors) {
        probed.reason = "the fields of _asyncio.Task were not found";
    } else if (compat::kThreadStateKnowsTasks) {
        probe_debug_section(probed, state, found.get());
    }
    PyDict_Clear(found.get());
    return publish(probed);
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
