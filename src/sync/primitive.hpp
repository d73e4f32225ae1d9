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
    // A queue in a queue in a queue: the trashcan ends them one after the other, not each in the
    // other's dealloc.
    static void dealloc(PyObject* self) noexcept {
        PyObject_GC_UnTrack(self);
        Py_TRASHCAN_BEGIN(self, dealloc);
        core_of<Core>(self).clear();
        py::free_instance(self);
        Py_TRASHCAN_END;
    }
};

struct PrimitiveRecipe {
    const char* name; // "bucle.Lock"
    const char* doc;
    const char* stock_module;     // "asyncio.locks"
    PyTypeObject* base = nullptr; // null: the stock class; else one of ours
    const py::FunctionRow* functions = nullptr;
    PyGetSetDef* getset = nullptr; // see get_dict
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

// `__dict__`. asyncio's primitives have all that they know there, in an order that copies and
// pickles show. Ours are made of properties; the row of this name, whose closure is the table of
// all of them in that order, fills the dict with their values whenever somebody asks for it. What
// stands there under their names is never read: properties go before it. A property that raises
// AttributeError is left out, as is a _loop of None.
PyObject* get_dict(PyObject* self, void* table) noexcept;
int set_dict(PyObject* self, PyObject* value, void* table) noexcept;
extern PyMethodDef copying_methods[]; // what make_primitive adds for copies and pickles

// "<bucle.Lock object at 0x7f... [state, waiters:2]>", as asyncio's primitives read; without the
// waiters when `waiters` is 0. Null when `state` is null.
PyObject* primitive_repr(PyObject* self, py::Ref state, Py_ssize_t waiters) noexcept;

// The stages of the bodies below. One that hands over to them begins at the first, too, and numbers
// its own from kOwnStages on.
inline constexpr std::uint8_t kStart = 0;
inline constexpr std::uint8_t kByTwin = 1;
inline constexpr std::uint8_t kByName = 1;
inline constexpr std::uint8_t kOwnStages = 2;

// `async with`: __aenter__ awaits self.acquire(), __aexit__ calls self.release(), by name: for
// subclasses, and for the condition.
core::Step enter_by_name(core::Coroutine& co, py::Ref value, py::Ref error,
                         py::Ref& result) noexcept;
core::Step leave_by_name(core::Coroutine& co, py::Ref value, py::Ref error,
                         py::Ref& result) noexcept;

// The whole function as asyncio has it, on our object: for subclasses where the many calls that
// they could override are not worth a second native form.
core::Step by_twin(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept;
// The same for what is no coroutine.
PyObject* call_twin(py::Function& function, PyObject* const* args) noexcept;

} // namespace bucle::sync
