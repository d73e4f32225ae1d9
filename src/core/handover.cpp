// See handover.hpp.
#include "core/handover.hpp"

#include "core/any_future.hpp"
#include "core/handle.hpp"
#include "core/observer.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/function.hpp"

#include <structmember.h>

namespace bucle::core {
namespace {

constexpr char kCheckCancel[] = "_chain_future.<locals>._call_check_cancel";
constexpr char kSetState[] = "_chain_future.<locals>._call_set_state";

struct Handover {
    PyObject_HEAD vectorcallfunc vectorcall;
    py::Ref destination; // an exact native future
    py::Ref source;      // since it is done
};

Handover& as_handover(PyObject* self) noexcept {
    return *reinterpret_cast<Handover*>(self);
}

// Null: it is to be copied by asyncio's function, or an error is set.
py::Ref plain_result(PyObject* source) noexcept {
    const py::State& state = py::state();
    if (Py_TYPE(source) != state.concurrent_future) {
        return {};
    }
    const py::Ref how = py::get_attr(source, state.names._state);
    if (!how || how.get() != state.concurrent_finished) {
        return {};
    }
    const py::Ref exception = py::get_attr(source, state.names._exception);
    return exception == Py_None ? py::get_attr(source, state.names._result) : py::Ref();
}

bool copy_state(PyObject* source, PyObject* destination) noexcept {
    FutureCore& core = *future_core(destination);
    if (core.state == FutureState::cancelled) {
        return true;
    }
    if (core.pending()) {
        if (const py::Ref result = plain_result(source)) {
            return future_set_result(destination, core, result.get());
        }
        if (PyErr_Occurred() != nullptr) {
            return false;
        }
    }
    return static_cast<bool>(py::call(py::state().copy_future_state, source, destination));
}

bool copy_now(Handover& handover) noexcept {
    const py::Ref source = std::move(handover.source);
    const py::Ref destination = std::move(handover.destination);
    return !source || !destination || copy_state(source.get(), destination.get());
}

// In whatever thread: the source is done.
bool hand_over(PyObject* self, PyObject* source) noexcept {
    Handover& handover = as_handover(self);
    const py::Ref destination = handover.destination.clone();
    if (!destination) { // cleared by the collector
        return true;
    }
    const py::Ref loop = future_core(destination.get())->loop.clone();
    handover.source = py::Ref::borrow(source);
    Scheduler* const scheduler = scheduler_of(loop.get());
    const int closed = scheduler != nullptr
                           ? int{scheduler->closed()}
                           : py::truth_of(py::call_method(loop.get(), py::names().is_closed));
    if (closed != 0) {
        return closed > 0;
    }
    if (py::state().chains_in_running_loop) {
        const py::Ref running = py::abi::running_loop();
        if (running.get() == loop.get()) {
            return copy_now(handover);
        }
        if (!running && PyErr_Occurred() != nullptr) {
            return false;
        }
    }
    if (scheduler == nullptr || scheduler->debug() || scheduler->threadsafe_overridden) {
        return static_cast<bool>(
            py::call_method(loop.get(), py::names().call_soon_threadsafe, self));
    }
    if (!push_ready(*scheduler, ReadyKind::handover, py::Ref::borrow(self))) {
        return false;
    }
    scheduler->wake(*scheduler);
    return true;
}

// With the source: that is done. Without: what call_soon_threadsafe() was given is to be done now.
PyObject* vectorcall(PyObject* self, PyObject* const* args, std::size_t nargsf,
                     PyObject* kwnames) noexcept {
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs > 1 || kwnames != nullptr) {
        return py::raise_type_error("a done callback takes one argument, the future");
    }
    const bool ok = nargs == 1 ? hand_over(self, args[0]) : copy_now(as_handover(self));
    return ok ? py::new_ref(Py_None) : nullptr;
}

PyObject* get_name(PyObject*, void*) noexcept {
    return PyUnicode_FromString(kSetState);
}

PyObject* repr(PyObject*) noexcept {
    return PyUnicode_FromFormat("<built-in function %s>", kSetState);
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    for (const py::Ref* ref : {&as_handover(self).destination, &as_handover(self).source}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    as_handover(self).destination.reset();
    as_handover(self).source.reset();
    return 0;
}

void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, dealloc);
    (void)clear(self);
    py::free_instance(self);
    Py_TRASHCAN_END;
}

PyGetSetDef getset[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_name, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Handover, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// The future of the loop was done first, cancelled as a rule.
bool cancel_concurrent(PyObject* source, PyObject* destination) noexcept {
    const int cancelled = is_cancelled(destination);
    return cancelled == 0 || (cancelled > 0 && py::call_method(source, py::names().cancel));
}

// The concurrent future is done; where it was cancelled, the source is too, in its own loop.
bool cancel_source(PyObject* source, PyObject* destination) noexcept {
    const py::Names& names = py::names();
    const int cancelled = py::truth_of(py::call_method(destination, names.cancelled));
    if (cancelled <= 0) {
        return cancelled == 0;
    }
    const py::Ref loop = loop_of(source);
    const py::Ref cancel = loop ? py::get_attr(source, names.cancel) : py::Ref();
    if (!cancel) {
        return false;
    }
    if (py::state().chains_in_running_loop) {
        const py::Ref running = py::abi::running_loop();
        if (running.get() == loop.get()) {
            return static_cast<bool>(py::call(cancel.get()));
        }
        if (!running && PyErr_Occurred() != nullptr) {
            return false;
        }
    }
    return static_cast<bool>(py::call_method(loop.get(), names.call_soon_threadsafe, cancel.get()));
}

bool tell_concurrent(PyObject* destination, PyObject* source) noexcept {
    const py::Names& names = py::names();
    FutureCore* const core = is_exact_native(source) ? future_core(source) : nullptr;
    if (core == nullptr || core->state != FutureState::finished || core->exception) {
        return static_cast<bool>(
            py::call(py::state().set_concurrent_future_state, destination, source));
    }
    const py::Ref result = core->result.clone();
    const int wanted =
        py::truth_of(py::call_method(destination, names.set_running_or_notify_cancel));
    return wanted == 0 ||
           (wanted > 0 && py::call_method(destination, names.set_result, result.get()));
}

} // namespace

bool chain_concurrent(PyObject* source, PyObject* destination) noexcept {
    const py::State& state = py::state();
    if (!is_exact_future(destination)) {
        return static_cast<bool>(py::call(state.chain_future, source, destination));
    }
    const py::Ref on_destination = make_observer(source, cancel_concurrent, kCheckCancel);
    const py::Ref on_source = py::Ref::steal(py::allocate(state.handover_type));
    if (!on_destination || !on_source || !observe(destination, on_destination.get())) {
        return false;
    }
    Handover& handover = as_handover(on_source.get());
    handover.vectorcall = vectorcall;
    handover.destination = py::Ref::borrow(destination);
    return static_cast<bool>(
        py::call_method(source, state.names.add_done_callback, on_source.get()));
}

bool chain_to_concurrent(PyObject* source, PyObject* destination) noexcept {
    const py::Ref on_destination = make_observer(source, cancel_source, kCheckCancel);
    const py::Ref on_source = make_observer(destination, tell_concurrent, kSetState);
    return on_destination && on_source &&
           py::call_method(destination, py::names().add_done_callback, on_destination.get()) &&
           observe(source, on_source.get());
}

int is_any_future(PyObject* object) noexcept {
    return is_exact_native(object) ? 1 : py::truth_of(py::call(py::state().isfuture, object));
}

int is_concurrent_future(PyObject* object) noexcept {
    PyTypeObject* const type = py::state().concurrent_future;
    return Py_TYPE(object) == type ? 1
                                   : PyObject_IsInstance(object, reinterpret_cast<PyObject*>(type));
}

bool run_handover(Scheduler& scheduler, PyObject* self) noexcept {
    if (copy_now(as_handover(self))) [[likely]] {
        return true;
    }
    return !py::exit_exception_raised() && report_failed_callback(scheduler, self, nullptr);
}

bool make_handover_type(PyObject* module) noexcept {
    py::State& state = py::state();
    state.chains_in_running_loop =
        py::twin_mentions("asyncio.futures", "_chain_future._call_set_state", "_get_running_loop");
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("What a concurrent future calls when it is done.")},
        {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_getset, getset},
        {Py_tp_members, members},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.handover",
                                   slots,
                                   sizeof(Handover) - sizeof(PyObject),
                                   alignof(Handover),
                                   nullptr,
                                   nullptr,
                                   Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL};
    state.handover_type = py::make_type(module, recipe, nullptr);
    return state.handover_type != nullptr;
}

} // namespace bucle::core
