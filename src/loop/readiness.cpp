// See readiness.hpp.
#include "loop/readiness.hpp"

#include "core/handle.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <structmember.h>

namespace bucle::loop {
namespace {

struct Readiness {
    PyObject_HEAD OnReady notify;
    const char* name;
    py::Ref owner;
    bool watched;
};

Readiness& as_readiness(PyObject* self) noexcept {
    return *reinterpret_cast<Readiness*>(self);
}

// Debug mode shows it as the callable of a handle.
PyObject* call(PyObject* self, PyObject*, PyObject*) noexcept {
    const py::Ref owner = as_readiness(self).owner.clone();
    return !owner || as_readiness(self).notify(owner.get()) ? py::new_ref(Py_None) : nullptr;
}

PyObject* get_name(PyObject* self, void*) noexcept {
    return PyUnicode_FromString(as_readiness(self).name);
}

PyObject* repr(PyObject* self) noexcept {
    return PyUnicode_FromFormat("<built-in method %s>", as_readiness(self).name);
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const int stop = as_readiness(self).owner.visit(visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    as_readiness(self).owner.reset();
    return 0;
}

void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    (void)clear(self);
    py::free_instance(self);
}

PyGetSetDef getset[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_name, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace

py::Ref make_readiness(PyObject* owner, OnReady notify, const char* name) noexcept {
    py::Ref self = py::Ref::steal(py::allocate(py::state().readiness_type));
    if (self) {
        Readiness& readiness = as_readiness(self.get());
        readiness.notify = notify;
        readiness.name = name;
        readiness.owner = py::Ref::borrow(owner);
    }
    return self;
}

void disown(PyObject* readiness) noexcept {
    as_readiness(readiness).owner.reset();
}

bool is_watched(PyObject* readiness) noexcept {
    return as_readiness(readiness).watched;
}

bool is_readiness(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().readiness_type;
}

void set_watched(PyObject* readiness, bool watched) noexcept {
    as_readiness(readiness).watched = watched;
}

bool run_readiness(core::Scheduler& scheduler, PyObject* self) noexcept {
    const Readiness& readiness = as_readiness(self);
    const py::Ref owner = readiness.watched ? readiness.owner.clone() : py::Ref();
    if (!owner || readiness.notify(owner.get())) [[likely]] {
        return true;
    }
    return !py::exit_exception_raised() && core::report_failed_callback(scheduler, self, nullptr);
}

bool make_readiness_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_call, reinterpret_cast<void*>(call)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_getset, getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {
        "bucle.readiness", slots,   sizeof(Readiness) - sizeof(PyObject), alignof(Readiness),
        nullptr,           nullptr, Py_TPFLAGS_DISALLOW_INSTANTIATION};
    py::state().readiness_type = py::make_type(module, recipe, nullptr);
    return py::state().readiness_type != nullptr;
}

} // namespace bucle::loop
