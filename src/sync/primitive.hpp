// What the types of this room share: a C type whose base is the stock class of the same name, and a
// Core behind the base's fields: a struct with `visit` and `clear` for what it owns. A default one
// must be harmless, for objects whose __init__ never ran. All that the stock class defines as a
// function, __init__ and __repr__ included, is a row of functions.
#pragma once

#include "core/coroutine.hpp"
#include "py/type_builder.hpp"
#include "sync/waiter.hpp"

#include <new>

namespace bucle::sync {

template <class Core>
inline std::size_t core_offset = 0;

template <class Core>
Core& core_of(PyObject* self) noexcept {
    return *py::own_fields<Core>(self, core_offset<Core>);
}

template <class Core>
struct Slots {
    static PyObject* create(PyTypeObject* type, PyObject*, PyObject*) noexcept {
        PyObject* const self = py::allocate(type);
        if (self != nullptr) {
            new (&core_of<Core>(self)) Core;
        }
        return self;
    }
    static int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
        if (const int stop = core_of<Core>(self).visit(visit, arg); stop != 0) {
            return stop;
        }
        if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
            return stop;
        }
        return py::visit_type(self, visit, arg);
    }
    static int clear(PyObject* self) noexcept {
        core_of<Core>(self).clear();
        py::compat::clear_instance_dict(self);
        return 0;
    }
    static void dealloc(PyObject* self) noexcept {
        PyObject_GC_UnTrack(self);
        core_of<Core>(self).clear();
        py::free_instance(self);
    }
};

struct PrimitiveRecipe {
    const char* name; // "bucle.Lock"
    const char* doc;
    const char* stock_module;     // "asyncio.locks"
    PyTypeObject* base = nullptr; // null: the stock class; else one of ours
    const py::FunctionRow* functions = nullptr;
    PyGetSetDef* getset = nullptr;
    PyMethodDef* methods = nullptr; // what the stock class has no twin for
};

// Makes the type and adds it to the module; `slots` has room behind its first {0, nullptr} for what
// the recipe adds. Null with an error set.
PyTypeObject* make_primitive(PyObject* module, const PrimitiveRecipe& recipe, PyType_Slot* slots,
                             std::size_t own_size, std::size_t own_align,
                             std::size_t* offset) noexcept;

template <class Core>
PyTypeObject* make_primitive(PyObject* module, const PrimitiveRecipe& recipe) noexcept {
    using S = Slots<Core>;
    PyType_Slot slots[12] = {
        {Py_tp_new, reinterpret_cast<void*>(S::create)},
        {Py_tp_traverse, reinterpret_cast<void*>(S::traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(S::clear)},
        {Py_tp_dealloc, reinterpret_cast<void*>(S::dealloc)},
    };
    return make_primitive(module, recipe, slots, sizeof(Core), alignof(Core), &core_offset<Core>);
}

// "<bucle.Lock object at 0x7f... [state, waiters:2]>", as asyncio's primitives read; without the
// waiters when `waiters` is 0. Null when `state` is null.
PyObject* primitive_repr(PyObject* self, py::Ref state, Py_ssize_t waiters) noexcept;

// `async with`: __aenter__ awaits self.acquire(), __aexit__ calls self.release(), by name: for
// subclasses, and for the condition.
core::Step enter_by_name(core::Coroutine& co, py::Ref value, py::Ref error,
                         py::Ref& result) noexcept;
core::Step leave_by_name(core::Coroutine& co, py::Ref value, py::Ref error,
                         py::Ref& result) noexcept;

} // namespace bucle::sync
