// Handle as Python sees it: constructor, attributes, cancel, _run. Shared by the three types.
#include "core/context.hpp"
#include "core/handle.hpp"
#include "py/args.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/gil.hpp"

#include <new>

namespace bucle::core {
namespace {

// The fields of a ThreadSafeHandle; null for others.
HandleCore* threadsafe_core(PyObject* self) noexcept {
    PyTypeObject* type = py::state().threadsafe_handle_type;
    return type != nullptr && (Py_TYPE(self) == type || PyType_IsSubtype(Py_TYPE(self), type))
               ? py::own_fields<HandleCore>(self, handle_offset)
               : nullptr;
}

// What threads wait at; the last of them frees it.
struct Gate {
    PyThread_type_lock lock; // released by the end of the run
    int waiting = 0;
};

Gate* open_gate() noexcept {
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock == nullptr) {
        return nullptr;
    }
    auto* gate = new (std::nothrow) Gate{lock};
    if (gate == nullptr) {
        PyThread_free_lock(lock);
        return nullptr;
    }
    PyThread_acquire_lock(lock, WAIT_LOCK);
    return gate;
}

} // namespace

// asyncio guarantees that cancel() from another thread returns only when a running callback has
// ended. This stands on the stack of the run; who has to wait makes the gate, nobody pays for it
// otherwise.
struct RunningCallback {
    unsigned long thread;
    Gate* gate = nullptr;
};

namespace {

// Blocks while the callback runs in another thread.
void wait_until_not_running(PyObject* self) noexcept {
    const HandleCore* core = threadsafe_core(self);
    RunningCallback* running = core == nullptr ? nullptr : core->running;
    if (running == nullptr || running->thread == PyThread_get_thread_ident()) {
        return;
    }
    if (running->gate == nullptr) {
        running->gate = open_gate();
        if (running->gate == nullptr) {
            return;
        }
    }
    Gate* const gate = running->gate;
    ++gate->waiting;
    {
        const py::ReleaseGil released;
        PyThread_acquire_lock(gate->lock, WAIT_LOCK);
        PyThread_release_lock(gate->lock);
    }
    if (--gate->waiting == 0) {
        PyThread_free_lock(gate->lock);
        delete gate;
    }
}

// Most handles are plain ones, of which many die at once: no walk of the bases for them.
bool is_timer(PyObject* self) noexcept {
    const py::State& state = py::state();
    PyTypeObject* type = Py_TYPE(self);
    return type != state.handle_type && type != state.threadsafe_handle_type &&
           PyType_IsSubtype(type, state.timer_handle_type) != 0;
}

// Tells the loop, which counts the cancelled timers in its heap; a stand-in loop through Python.
bool tell_timer_cancelled(PyObject* self) noexcept {
    const TimerCore& core = *timer_core(self);
    Scheduler* scheduler = scheduler_of(core.loop.get());
    if (scheduler == nullptr) {
        return static_cast<bool>(
            py::call_method(core.loop.get(), py::names()._timer_handle_cancelled, self));
    }
    if (core.scheduled && scheduler->timer_cancelled != nullptr) {
        scheduler->timer_cancelled(*scheduler);
    }
    return true;
}

void keep_args_tuple(HandleCore& core, py::Ref tuple) noexcept {
    const py::Ref first = std::exchange(core.first_arg, std::move(tuple));
    const py::Ref second = std::move(core.second_arg);
    const py::Ref third = std::move(core.third_arg);
    core.nargs = HandleCore::kTuple;
}

bool cancel_native(PyObject* self) noexcept {
    HandleCore& core = *handle_core(self);
    PyTypeObject* timer_type = py::state().timer_handle_type;
    if (Py_TYPE(self) == timer_type || PyType_IsSubtype(Py_TYPE(self), timer_type)) {
        if (!core.cancelled && core.loop && !tell_timer_cancelled(self)) {
            return false;
        }
    } else {
        wait_until_not_running(self);
    }
    return cancel_handle(self, core);
}

PyObject* cancel(PyObject* self, PyObject*) noexcept {
    return cancel_native(self) ? py::new_ref(Py_None) : nullptr;
}

PyObject* cancelled(PyObject* self, PyObject*) noexcept {
    wait_until_not_running(self);
    return PyBool_FromLong(handle_core(self)->cancelled);
}

PyObject* run(PyObject* self, PyObject*) noexcept {
    HandleCore& core = *handle_core(self);
    py::Ref spare;
    if (threadsafe_core(self) != nullptr) {
        return run_threadsafe_handle(self, spare) ? py::new_ref(Py_None) : nullptr;
    }
    return run_handle(self, core, spare) ? py::new_ref(Py_None) : nullptr;
}

// A copy of an empty context that was never made is made now and kept, so that both see one.
PyObject* context_of(PyObject* self, void* = nullptr) noexcept {
    HandleCore& core = *handle_core(self);
    if (!core.context) {
        core.context = make_empty_context();
    }
    return core.context.clone().release();
}

PyObject* get_context(PyObject* self, PyObject*) noexcept {
    return context_of(self);
}

template <py::Ref HandleCore::* Field>
PyObject* get_field(PyObject* self, void*) noexcept {
    return py::value_or_none((handle_core(self)->*Field).get());
}

template <py::Ref HandleCore::* Field>
int set_field(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    // None is what the getter gives for an empty field.
    handle_core(self)->*Field = value == Py_None ? py::Ref() : py::Ref::borrow(value);
    return 0;
}

PyObject* get_args(PyObject* self, void*) noexcept {
    const HandleCore& core = *handle_core(self);
    return core.callback ? handle_args_tuple(core).release() : py::new_ref(Py_None);
}

int set_args(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    py::Ref tuple = py::Ref::steal(value == Py_None ? PyTuple_New(0) : PySequence_Tuple(value));
    if (!tuple) {
        return -1;
    }
    keep_args_tuple(*handle_core(self), std::move(tuple));
    return 0;
}

PyObject* get_cancelled(PyObject* self, void*) noexcept {
    return PyBool_FromLong(handle_core(self)->cancelled);
}

int set_cancelled(PyObject* self, PyObject* value, void*) noexcept {
    const int cancelled = value == nullptr ? 0 : PyObject_IsTrue(value);
    handle_core(self)->cancelled = cancelled > 0;
    return cancelled < 0 ? -1 : 0;
}

int set_context(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr || !PyContext_CheckExact(value)) {
        (void)py::raise_type_error("_context must be a contextvars.Context");
        return -1;
    }
    handle_core(self)->context = py::Ref::borrow(value);
    return 0;
}

// What copy.copy() takes along. The inherited one refuses, since it finds our fields behind those
// that the slots of asyncio's class account for; read through the properties they are the same.
PyObject* getstate(PyObject* self, PyObject*) noexcept {
    py::Ref copyreg = py::Ref::steal(PyImport_ImportModule("copyreg"));
    py::Ref names =
        copyreg
            ? py::Ref::steal(PyObject_CallMethod(copyreg.get(), "_slotnames", "O", Py_TYPE(self)))
            : py::Ref();
    py::Ref slots = names ? py::Ref::steal(PyDict_New()) : py::Ref();
    const Py_ssize_t count = slots ? PySequence_Size(names.get()) : -1;
    for (Py_ssize_t i = 0; i < count; ++i) {
        py::Ref name = py::Ref::steal(PySequence_GetItem(names.get(), i));
        py::Ref value = name ? py::get_optional_attr(self, name.get()) : py::Ref();
        if (value ? PyDict_SetItem(slots.get(), name.get(), value.get()) < 0
                  : PyErr_Occurred() != nullptr) {
            return nullptr;
        }
    }
    py::Ref dict = count < 0 ? py::Ref() : py::get_optional_attr(self, py::names().__dict__);
    if (!dict && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    return PyTuple_Pack(2, dict ? dict.get() : Py_None, slots.get());
}

int init(PyObject* self, PyObject* args, PyObject* kwargs) noexcept {
    static constexpr const char* kNames[] = {"callback", "args", "loop", "context", nullptr};
    static constexpr py::Signature kSignature = {"Handle", kNames, 4, 3};
    PyObject* given[4];
    return py::parse_call(kSignature, args, kwargs, given) &&
                   init_handle(self, *handle_core(self), given[0], given[1], given[2], given[3])
               ? 0
               : -1;
}

PyObject* timer_when(PyObject* self, PyObject* = nullptr) noexcept {
    const TimerCore& timer = *timer_core(self);
    return timer.given_when ? timer.given_when.clone().release() : PyFloat_FromDouble(timer.when);
}

PyObject* get_when(PyObject* self, void*) noexcept {
    return timer_when(self);
}

int set_when(PyObject* self, PyObject* value, void*) noexcept {
    const double when = value == nullptr ? -1 : PyFloat_AsDouble(value);
    if (PyErr_Occurred() != nullptr) {
        return -1;
    }
    timer_core(self)->when = when;
    timer_core(self)->given_when = py::Ref::borrow(value);
    return 0;
}

PyObject* get_scheduled(PyObject* self, void*) noexcept {
    return PyBool_FromLong(timer_core(self)->scheduled);
}

int set_scheduled(PyObject* self, PyObject* value, void*) noexcept {
    const int scheduled = value == nullptr ? 0 : PyObject_IsTrue(value);
    timer_core(self)->scheduled = scheduled > 0;
    return scheduled < 0 ? -1 : 0;
}

int timer_init(PyObject* self, PyObject* args, PyObject* kwargs) noexcept {
    static constexpr const char* kNames[] = {"when", "callback", "args",
                                             "loop", "context",  nullptr};
    static constexpr py::Signature kSignature = {"TimerHandle", kNames, 5, 4};
    PyObject* given[5];
    if (!py::parse_call(kSignature, args, kwargs, given)) {
        return -1;
    }
    const double when = PyFloat_AsDouble(given[0]);
    if (PyErr_Occurred() != nullptr ||
        !init_handle(self, *timer_core(self), given[1], given[2], given[3], given[4])) {
        return -1;
    }
    timer_core(self)->when = when;
    timer_core(self)->given_when = py::Ref::borrow(given[0]);
    return 0;
}

PyMethodDef timer_methods[] = {
    {"when", timer_when, METH_NOARGS,
     "when($self, /)\n--\n\n"
     "Return the scheduled time of the callback."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef timer_getset[] = {
    {"_when", get_when, set_when, nullptr, nullptr},
    {"_scheduled", get_scheduled, set_scheduled, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// The three types differ in base, size and constructor only.
PyTypeObject* make_one(PyObject* module, const char* name, const char* doc, PyObject* base,
                       std::size_t own_size, initproc constructor, PyMethodDef* more_methods,
                       PyGetSetDef* more_getset) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>(doc)},
        {Py_tp_new, reinterpret_cast<void*>(handle_new)},
        {Py_tp_init, reinterpret_cast<void*>(constructor)},
        {Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(handle_traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(handle_clear)},
        {Py_tp_methods, handle_methods},
        {Py_tp_getset, handle_getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {name,
                                   slots,
                                   own_size,
                                   alignof(HandleCore),
                                   reinterpret_cast<PyTypeObject*>(base),
                                   py::state().meta,
                                   Py_TPFLAGS_BASETYPE,
                                   true,
                                   nullptr,
                                   handle_offset};
    PyTypeObject* type = py::make_type(module, recipe, nullptr);
    if (type == nullptr ||
        (more_methods != nullptr && !py::add_methods_for(type, type, more_methods)) ||
        (more_getset != nullptr && !py::add_getset(type, more_getset))) {
        return nullptr;
    }
    return type;
}

} // namespace

bool run_threadsafe_handle(PyObject* handle, py::Ref& spare) noexcept {
    HandleCore& core = *py::own_fields<HandleCore>(handle, handle_offset);
    if (core.cancelled) {
        return true;
    }
    RunningCallback running{PyThread_get_thread_ident()};
    core.running = &running;
    const bool ok = run_handle(handle, core, spare);
    core.running = nullptr;
    if (running.gate != nullptr) {
        PyThread_release_lock(running.gate->lock);
    }
    return ok;
}

PyMethodDef handle_methods[] = {
    {"cancel", cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\n"
     "Cancel the callback; without effect once it has run."},
    {"cancelled", cancelled, METH_NOARGS,
     "cancelled($self, /)\n--\n\n"
     "Return True if the callback was cancelled."},
    {"get_context", get_context, METH_NOARGS,
     "get_context($self, /)\n--\n\n"
     "Return the context that the callback runs in."},
    {"_run", run, METH_NOARGS,
     "_run($self, /)\n--\n\n"
     "Call the callback now."},
    {"__getstate__", getstate, METH_NOARGS,
     "__getstate__($self, /)\n--\n\n"
     "Return what copy.copy() takes along."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef handle_getset[] = {
    {"_callback", get_field<&HandleCore::callback>, set_field<&HandleCore::callback>, nullptr,
     nullptr},
    {"_args", get_args, set_args, nullptr, nullptr},
    {"_cancelled", get_cancelled, set_cancelled, nullptr, nullptr},
    {"_loop", get_field<&HandleCore::loop>, set_field<&HandleCore::loop>, nullptr, nullptr},
    {"_source_traceback", get_field<&HandleCore::source_traceback>,
     set_field<&HandleCore::source_traceback>, nullptr, nullptr},
    {"_repr", get_field<&HandleCore::repr>, set_field<&HandleCore::repr>, nullptr, nullptr},
    {"_context", context_of, set_context, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* handle_new(PyTypeObject* type, PyObject*, PyObject*) noexcept {
    return py::allocate(type);
}

bool init_handle(PyObject*, HandleCore& core, PyObject* callback, PyObject* args, PyObject* loop,
                 PyObject* context) noexcept {
    if (context == nullptr || context == Py_None) {
        bool failed = false;
        core.context = copy_current_context(failed);
        if (failed) {
            return false;
        }
    } else {
        core.context = py::Ref::borrow(context);
    }
    core.loop = py::Ref::borrow(loop);
    core.callback = py::Ref::borrow(callback);
    py::Ref tuple = py::Ref::steal(PySequence_Tuple(args));
    if (!tuple) {
        return false;
    }
    keep_args_tuple(core, std::move(tuple));
    core.cancelled = false;
    bool failed = false;
    if (debug_of(loop, failed)) {
        core.source_traceback = py::call(py::state().extract_stack);
        failed = !core.source_traceback;
    }
    return !failed;
}

int handle_traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    HandleCore* core = handle_core(self);
    if (core == nullptr) {
        return py::visit_type(self, visit, arg);
    }
    for (const py::Ref* ref :
         {&core->loop, &core->callback, &core->context, &core->source_traceback, &core->repr,
          &core->first_arg, &core->second_arg, &core->third_arg}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    if (is_timer(self)) {
        if (const int stop = timer_core(self)->given_when.visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int handle_clear(PyObject* self) noexcept {
    HandleCore* core = handle_core(self);
    core->loop.reset();
    core->callback.reset();
    core->context.reset();
    core->source_traceback.reset();
    core->repr.reset();
    core->nargs = 0;
    core->first_arg.reset();
    core->second_arg.reset();
    core->third_arg.reset();
    if (is_timer(self)) {
        timer_core(self)->given_when.reset();
    }
    return 0;
}

void handle_dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    (void)handle_clear(self);
    py::State& state = py::state();
    PyTypeObject* type = Py_TYPE(self);
    py::HandleBlocks* blocks = type == state.handle_type ? &state.handle_blocks
                               : type == state.threadsafe_handle_type
                                   ? &state.threadsafe_handle_blocks
                                   : nullptr;
    if (blocks == nullptr) {
        py::free_instance(self);
        return;
    }
    py::compat::clear_weakrefs(self);
    py::own_fields<HandleCore>(self, handle_offset)->cancelled = false;
    blocks->give(self);
}

bool make_handle_types(PyObject* module) noexcept {
    py::State& state = py::state();
    handle_offset = find_handle_offset();
    state.handle_type =
        make_one(module, "bucle.Handle",
                 "Handle(callback, args, loop, context=None)\n--\n\n"
                 "A callback that waits for its turn of the loop; it can be cancelled.",
                 state.base_handle, sizeof(HandleCore), init, nullptr, nullptr);
    if (state.handle_type == nullptr) {
        return false;
    }
    state.timer_handle_type = make_one(
        module, "bucle.TimerHandle",
        "TimerHandle(when, callback, args, loop, context=None)\n--\n\n"
        "A callback that waits for its time; it can be cancelled.",
        state.base_timer_handle, sizeof(TimerCore), timer_init, timer_methods, timer_getset);
    if (state.timer_handle_type == nullptr) {
        return false;
    }
    if (state.base_threadsafe_handle != nullptr) {
        state.threadsafe_handle_type =
            make_one(module, "bucle.ThreadSafeHandle",
                     "ThreadSafeHandle(callback, args, loop, context=None)\n--\n\n"
                     "A callback from another thread: its cancel() waits for one that is running.",
                     state.base_threadsafe_handle, sizeof(HandleCore), init, nullptr, nullptr);
        return state.threadsafe_handle_type != nullptr;
    }
    return true;
}

bool cancel_any_handle(PyObject* handle) noexcept {
    const py::State& state = py::state();
    if (Py_TYPE(handle) == state.timer_handle_type || Py_TYPE(handle) == state.handle_type) {
        return cancel_native(handle);
    }
    return static_cast<bool>(py::call_method(handle, py::names().cancel));
}

} // namespace bucle::core
