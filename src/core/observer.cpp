// See observer.hpp.
#include "core/observer.hpp"

#include "core/handle.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <structmember.h>

namespace bucle::core {
namespace {

struct Observer {
    PyObject_HEAD vectorcallfunc vectorcall;
    Notify notify;
    const char* name;
    py::Ref owner;
};

Observer& as_observer(PyObject* self) noexcept {
    return *reinterpret_cast<Observer*>(self);
}

PyObject* vectorcall(PyObject* self, PyObject* const* args, std::size_t nargsf,
                     PyObject* kwnames) noexcept {
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != nullptr) {
        return py::raise_type_error("a done callback takes one argument, the future");
    }
    const Observer& observer = as_observer(self);
    const py::Ref owner = observer.owner.clone();
    if (!owner) { // cleared by the collector
        Py_RETURN_NONE;
    }
    return observer.notify(owner.get(), args[0]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* get_name(PyObject* self, void*) noexcept {
    return PyUnicode_FromString(as_observer(self).name);
}

PyObject* repr(PyObject* self) noexcept {
    return PyUnicode_FromFormat("<built-in function %s>", as_observer(self).name);
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const int stop = as_observer(self).owner.visit(visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    as_observer(self).owner.reset();
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
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Observer, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// Takes the first of the observers that completion left in the future. Null when they are gone: by
// the collector, or by a second __init__, after which what stands there is somebody else's.
py::Ref take_first(FutureCore& core) noexcept {
    if (core.pending()) {
        return {};
    }
    if (core.callback) {
        return std::move(core.callback);
    }
    if (core.extras == nullptr || core.extras->heard == core.extras->more_callbacks.size()) {
        return {};
    }
    auto& more = core.extras->more_callbacks;
    py::Ref next = std::move(more[core.extras->heard++].target);
    if (core.extras->heard == more.size()) {
        core.extras->heard = 0;
        more.clear();
    }
    return next;
}

} // namespace

py::Ref make_observer(PyObject* owner, Notify notify, const char* name) noexcept {
    py::Ref self = py::Ref::steal(py::allocate(py::state().observer_type));
    if (self) {
        Observer& observer = as_observer(self.get());
        observer.vectorcall = vectorcall;
        observer.notify = notify;
        observer.name = name;
        observer.owner = py::Ref::borrow(owner);
    }
    return self;
}

bool observe(PyObject* future, PyObject* observer) noexcept {
    FutureCore* const core = is_exact_native(future) ? future_core(future) : nullptr;
    if (core == nullptr) {
        return static_cast<bool>(py::call_method(future, py::names().add_done_callback, observer));
    }
    if (!core->initialized()) {
        (void)not_initialized();
        return false;
    }
    return core->pending() ? add_observer(*core, observer)
                           : call_soon(core->loop.get(), observer, future, nullptr);
}

bool stop_observing(PyObject* future, PyObject* observer) noexcept {
    if (is_exact_native(future)) {
        return remove_done_callback(*future_core(future), observer) >= 0;
    }
    return static_cast<bool>(py::call_method(future, py::names().remove_done_callback, observer));
}

bool run_notice(Scheduler& scheduler, PyObject* future) noexcept {
    const py::Ref self = take_first(*future_core(future));
    if (!self) {
        return true;
    }
    const Observer& observer = as_observer(self.get());
    const py::Ref owner = observer.owner.clone();
    if (!owner || observer.notify(owner.get(), future)) [[likely]] {
        return true;
    }
    if (py::exit_exception_raised()) {
        return false;
    }
    return report_failed_callback(scheduler, self.get(), future);
}

bool make_observer_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("A done callback that is native.")},
        {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_getset, getset},
        {Py_tp_members, members},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.observer",
                                   slots,
                                   sizeof(Observer) - sizeof(PyObject),
                                   alignof(Observer),
                                   nullptr,
                                   nullptr,
                                   Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL};
    py::state().observer_type = py::make_type(module, recipe, nullptr);
    return py::state().observer_type != nullptr;
}

} // namespace bucle::core
