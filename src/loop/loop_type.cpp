// The type bucle.Loop: life and death of a loop, its state as Python sees it.
#include "loop/loop.hpp"

#include "core/handle.hpp"
#include "core/meta.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <new>

namespace bucle::loop {
namespace {

using core::Ready;

void drop_ready(LoopCore& core) noexcept {
    base::RingQueue<Ready> entries;
    base::RingQueue<Ready> held;
    entries.swap(core.ready);
    held.swap(core.held);
    for (base::RingQueue<Ready>* queue : {&held, &entries}) {
        while (!queue->empty()) {
            py::drop(queue->pop_front().object());
        }
    }
}

PyObject* create(PyTypeObject* type, PyObject*, PyObject*) noexcept {
    PyObject* self = py::allocate(type);
    if (self == nullptr) {
        return nullptr;
    }
    auto* core = new (loop_core(self)) LoopCore;
    core->loop = self;
    core->timer_cancelled = count_cancelled_timer;
    core->now = scheduler_now;
    core->wake = wake_scheduler;
    core->call_at = call_at_directly;
    live_loops().push_back(core);
    py::Ref answer =
        refresh_overrides(self, true) ? py::call(py::state().is_debug_mode) : py::Ref();
    const int debug = answer ? PyObject_IsTrue(answer.get()) : -1;
    if (debug < 0) {
        core->gate = core::Scheduler::kClosed; // never opened: its end is worth no warning
        py::drop(self);
        return nullptr;
    }
    core->gate |= debug != 0 ? core::Scheduler::kDebug : 0;
    return self;
}

int init(PyObject*, PyObject* args, PyObject* kwargs) noexcept {
    if (PyTuple_GET_SIZE(args) != 0 || (kwargs != nullptr && PyDict_GET_SIZE(kwargs) != 0)) {
        (void)py::raise_type_error("Loop() takes no arguments");
        return -1;
    }
    return 0;
}

int visit_entries(const LoopCore& core, visitproc visit, void* arg) noexcept {
    for (std::size_t i = 0; i < core.ready.size(); ++i) {
        Py_VISIT(core.ready[i].object());
    }
    for (std::size_t i = 0; i < core.held.size(); ++i) {
        Py_VISIT(core.held[i].object());
    }
    for (std::size_t i = 0; i < core.timers.size(); ++i) {
        Py_VISIT(core.timers[i].item);
    }
    for (const Watch& watch : core.watches) {
        Py_VISIT(watch.reader);
        Py_VISIT(watch.writer);
    }
    return 0;
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    const LoopCore& core = *loop_core(self);
    if (core.loop != nullptr) { // constructed
        if (const int stop = visit_entries(core, visit, arg); stop != 0) {
            return stop;
        }
        for (const py::Ref* ref :
             {&core.task_factory, &core.default_executor, &core.current_handle, &core.spare_context,
              &core.saved_hooks, &core.saved_origin_depth}) {
            if (const int stop = ref->visit(visit, arg); stop != 0) {
                return stop;
            }
        }
    }
    if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    LoopCore& core = *loop_core(self);
    drop_ready(core);
    drop_timers(core);
    drop_watches(core);
    core.task_factory.reset();
    core.default_executor.reset();
    core.current_handle.reset();
    core.spare_context.reset();
    core.saved_hooks.reset();
    core.saved_origin_depth.reset();
    py::compat::clear_instance_dict(self);
    return 0;
}

void finalize(PyObject* self) noexcept {
    LoopCore& core = *loop_core(self);
    if (core.loop == nullptr || core.closed()) {
        return;
    }
    const py::ErrorScope keep;
    py::warn_unclosed(self, "event loop");
    if (!core.running() && !py::call_method(self, py::names().close)) {
        PyErr_WriteUnraisable(self);
    }
}

void dealloc(PyObject* self) noexcept {
    if (!py::finalize_before_dealloc(self)) {
        return;
    }
    PyObject_GC_UnTrack(self);
    LoopCore* core = loop_core(self);
    if (core->loop != nullptr) {
        (void)clear(self);
        close_descriptors(*core);
        core->node.unlink();
        core->~LoopCore();
    }
    py::free_instance(self);
}

PyObject* stop(PyObject* self, PyObject*) noexcept {
    loop_core(self)->stopping = true;
    wake_from_thread(*loop_core(self));
    Py_RETURN_NONE;
}

PyObject* is_running(PyObject* self, PyObject*) noexcept {
    return PyBool_FromLong(loop_core(self)->running());
}

PyObject* is_closed(PyObject* self, PyObject*) noexcept {
    return PyBool_FromLong(loop_core(self)->closed());
}

PyObject* time(PyObject*, PyObject*) noexcept {
    return PyFloat_FromDouble(seconds_of(monotonic_ns()));
}

PyObject* get_debug(PyObject* self, PyObject*) noexcept {
    return PyBool_FromLong(loop_core(self)->debug());
}

PyObject* set_debug(PyObject* self, PyObject* enabled) noexcept {
    const int truth = PyObject_IsTrue(enabled);
    if (truth < 0) {
        return nullptr;
    }
    LoopCore& core = *loop_core(self);
    core.gate = static_cast<std::uint8_t>((core.gate & ~core::Scheduler::kDebug) |
                                          (truth != 0 ? core::Scheduler::kDebug : 0));
    if (core.running()) {
        py::Ref set =
            py::Ref::steal(PyObject_GetAttrString(self, "_set_coroutine_origin_tracking"));
        if (!set ||
            !py::Ref::steal(PyObject_CallMethod(self, "call_soon_threadsafe", "OO", set.get(),
                                                truth != 0 ? Py_True : Py_False))) {
            return nullptr;
        }
    }
    Py_RETURN_NONE;
}

PyObject* set_tracking(PyObject* self, PyObject* enabled) noexcept {
    const int truth = PyObject_IsTrue(enabled);
    return truth >= 0 && set_origin_tracking(*loop_core(self), truth != 0) ? py::new_ref(Py_None)
                                                                           : nullptr;
}

PyObject* check_closed_method(PyObject* self, PyObject*) noexcept {
    return core::check_closed(*loop_core(self)) ? py::new_ref(Py_None) : nullptr;
}

PyObject* check_running_method(PyObject* self, PyObject*) noexcept {
    return check_may_run(*loop_core(self)) ? py::new_ref(Py_None) : nullptr;
}

PyObject* metrics(PyObject* self, PyObject*) noexcept {
    const LoopCore& core = *loop_core(self);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:n,s:n,s:n}", "turns", core.metrics.turns, "polls",
                         core.metrics.polls, "callbacks", core.metrics.callbacks, "timers_fired",
                         core.metrics.timers_fired, "wakeups", core.metrics.wakeups, "ready",
                         static_cast<Py_ssize_t>(core.ready.size()), "scheduled",
                         static_cast<Py_ssize_t>(core.timers.size()), "watched",
                         static_cast<Py_ssize_t>(core.watched));
}

PyObject* repr(PyObject* self) noexcept {
    const LoopCore& core = *loop_core(self);
    py::Ref name = py::Ref::steal(
        PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(self)), py::names().__name__));
    const auto text = [](bool value) { return value ? "True" : "False"; };
    return name
               ? PyUnicode_FromFormat("<%U running=%s closed=%s debug=%s>", name.get(),
                                      text(core.running()), text(core.closed()), text(core.debug()))
               : nullptr;
}

template <class Queue, class ObjectOf>
PyObject* list_of(const Queue& queue, ObjectOf object_of) noexcept {
    py::Ref list = py::Ref::steal(PyList_New(0));
    for (std::size_t i = 0; list && i < queue.size(); ++i) {
        if (PyList_Append(list.get(), object_of(queue[i])) < 0) {
            return nullptr;
        }
    }
    return list.release();
}

PyObject* get_ready(PyObject* self, void*) noexcept {
    return list_of(loop_core(self)->ready, [](Ready entry) { return entry.object(); });
}

PyObject* get_scheduled(PyObject* self, void*) noexcept {
    return list_of(loop_core(self)->timers, [](const auto& timer) { return timer.item; });
}

PyObject* get_thread_id(PyObject* self, void*) noexcept {
    const LoopCore& core = *loop_core(self);
    return core.running() ? PyLong_FromUnsignedLong(core.thread_id) : py::new_ref(Py_None);
}

PyObject* get_debug_attr(PyObject* self, void*) noexcept {
    return get_debug(self, nullptr);
}

PyObject* get_closed(PyObject* self, void*) noexcept {
    return is_closed(self, nullptr);
}

PyObject* get_stopping(PyObject* self, void*) noexcept {
    return PyBool_FromLong(loop_core(self)->stopping);
}

PyObject* get_factory(PyObject* self, void*) noexcept {
    return py::value_or_none(loop_core(self)->task_factory.get());
}

PyObject* get_resolution(PyObject*, void*) noexcept {
    return PyFloat_FromDouble(1e-9);
}

PyObject* get_current_handle(PyObject* self, void*) noexcept {
    return py::value_or_none(loop_core(self)->current_handle.get());
}

PyObject* get_slow(PyObject* self, void*) noexcept {
    return PyFloat_FromDouble(loop_core(self)->slow_callback_duration);
}

int set_slow(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        return py::raise_undeletable(self, "slow_callback_duration");
    }
    const double seconds = PyFloat_AsDouble(value);
    if (seconds == -1 && PyErr_Occurred() != nullptr) {
        return -1;
    }
    loop_core(self)->slow_callback_duration = seconds;
    return 0;
}

constexpr char kFuture[] = "future";
constexpr char kRunUntilComplete[] = "run_until_complete";
constexpr char kEnabled[] = "enabled";
constexpr char kSetDebug[] = "set_debug";

PyMethodDef loop_methods[] = {
    {"run_forever", run_forever, METH_NOARGS,
     "run_forever($self, /)\n--\n\n"
     "Run until stop() is called."},
    {"run_until_complete",
     py::as_method(one_argument<run_until_complete, kRunUntilComplete, kFuture>),
     METH_FASTCALL | METH_KEYWORDS,
     "run_until_complete($self, /, future)\n--\n\n"
     "Run until the future is done and return its result."},
    {"stop", stop, METH_NOARGS,
     "stop($self, /)\n--\n\n"
     "Stop the loop at the end of its turn."},
    {"close", close_loop, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Close the loop; it must not be running."},
    {"is_running", is_running, METH_NOARGS,
     "is_running($self, /)\n--\n\n"
     "Return True if the loop is running."},
    {"is_closed", is_closed, METH_NOARGS,
     "is_closed($self, /)\n--\n\n"
     "Return True if the loop was closed."},
    {"time", time, METH_NOARGS,
     "time($self, /)\n--\n\n"
     "Return the loop's time: time.monotonic() in seconds."},
    {"get_debug", get_debug, METH_NOARGS,
     "get_debug($self, /)\n--\n\n"
     "Return True if the loop is in debug mode."},
    {"set_debug", py::as_method(one_argument<set_debug, kSetDebug, kEnabled>),
     METH_FASTCALL | METH_KEYWORDS,
     "set_debug($self, /, enabled)\n--\n\n"
     "Set debug mode."},
    {"metrics", metrics, METH_NOARGS,
     "metrics($self, /)\n--\n\n"
     "Return the loop's counters as a dict."},
    {"_check_closed", check_closed_method, METH_NOARGS,
     "_check_closed($self, /)\n--\n\n"
     "Raise RuntimeError if the loop is closed."},
    {"_check_running", check_running_method, METH_NOARGS,
     "_check_running($self, /)\n--\n\n"
     "Raise RuntimeError if this loop or another of the thread is running."},
    {"_set_coroutine_origin_tracking", set_tracking, METH_O,
     "_set_coroutine_origin_tracking($self, enabled, /)\n--\n\n"
     "Record where coroutines are made, or stop doing so."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef loop_getset[] = {
    {"slow_callback_duration", get_slow, set_slow, nullptr, nullptr},
    {"_ready", get_ready, nullptr, nullptr, nullptr},
    {"_scheduled", get_scheduled, nullptr, nullptr, nullptr},
    {"_thread_id", get_thread_id, nullptr, nullptr, nullptr},
    {"_debug", get_debug_attr, nullptr, nullptr, nullptr},
    {"_closed", get_closed, nullptr, nullptr, nullptr},
    {"_stopping", get_stopping, nullptr, nullptr, nullptr},
    {"_task_factory", get_factory, nullptr, nullptr, nullptr},
    {"_clock_resolution", get_resolution, nullptr, nullptr, nullptr},
    {"_current_handle", get_current_handle, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// Looking into an instance's dict can run any code (the __eq__ of a strange key), so the loops are
// held before the first is looked at.
bool class_changed(PyTypeObject* type) noexcept {
    py::Ref loops = py::Ref::steal(PyList_New(0));
    for (LoopCore& core : live_loops()) {
        if (!loops || (PyType_IsSubtype(Py_TYPE(core.loop), type) &&
                       PyList_Append(loops.get(), core.loop) < 0)) {
            return false;
        }
    }
    bool ok = static_cast<bool>(loops);
    for (Py_ssize_t i = 0; ok && i < PyList_GET_SIZE(loops.get()); ++i) {
        ok = refresh_overrides(PyList_GET_ITEM(loops.get(), i));
    }
    return ok;
}

} // namespace

LoopList& live_loops() noexcept {
    return *static_cast<LoopList*>(py::state().live_loops);
}

PyObject* close_loop(PyObject* self, PyObject*) noexcept {
    LoopCore& core = *loop_core(self);
    if (core.running()) {
        return py::raise_runtime_error("Cannot close a running event loop");
    }
    if (core.closed()) {
        Py_RETURN_NONE;
    }
    if (core.debug()) {
        py::Ref logger = py::Ref::steal(PyObject_GetAttrString(py::state().base_events, "logger"));
        if (!logger ||
            !py::Ref::steal(PyObject_CallMethod(logger.get(), "debug", "sO", "Close %r", self))) {
            return nullptr;
        }
    }
    core.gate |= core::Scheduler::kClosed;
    drop_ready(core);
    drop_timers(core);
    const bool ok = static_cast<bool>(py::call_method(self, py::names()._close_resources));
    const py::ErrorScope keep;
    close_descriptors(core);
    return ok ? py::new_ref(Py_None) : nullptr;
}

void after_fork_child() noexcept {
    if (!renew_signal_pair_after_fork()) {
        PyErr_Clear();
    }
    for (LoopCore& core : live_loops()) {
        core.forked = core.uv.is_open() || core.descriptors.is_open();
        core.polling = false;
        (void)flush_all(core, Occasion::child);
    }
}

bool make_loop_type(PyObject* module) noexcept {
    py::State& state = py::state();
    if (state.live_loops == nullptr) {
        state.live_loops = new (std::nothrow) LoopList;
    }
    if (state.live_loops == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("Loop()\n--\n\n"
                                      "An asyncio event loop whose turns are native, on libuv.")},
        {Py_tp_new, reinterpret_cast<void*>(create)},
        {Py_tp_init, reinterpret_cast<void*>(init)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_setattro, reinterpret_cast<void*>(set_loop_attribute)},
        {Py_tp_methods, loop_methods},
        {Py_tp_getset, loop_getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.Loop",
                                   slots,
                                   sizeof(LoopCore),
                                   alignof(LoopCore),
                                   reinterpret_cast<PyTypeObject*>(state.base_loop),
                                   state.meta,
                                   Py_TPFLAGS_BASETYPE};
    describe_create_task();
    describe_watching();
    PyTypeObject* type = py::make_type(module, recipe, &core::loop_offset);
    if (type == nullptr || !py::add_methods_for(type, type, scheduling_methods) ||
        !py::add_methods_for(type, type, task_methods) ||
        !py::add_methods_for(type, type, executor_methods) ||
        !py::add_getset(type, executor_getset) || !py::add_getset(type, nesting_getset) ||
        !py::add_methods_for(type, type, watch_methods) || !remember_native_methods(type)) {
        return false;
    }
    state.loop_type = type;
    core::on_loop_class_changed(class_changed);
    return true;
}

} // namespace bucle::loop
