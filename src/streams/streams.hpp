// The types of this room, for the module, and what they share: properties that are None while there
// is nothing, and types whose instances have a finalizer.
#pragma once

#include "py/error.hpp"
#include "sync/primitive.hpp"
#include "sync/properties.hpp"

namespace bucle::streams {

[[nodiscard]] bool make_reader_type(PyObject* module) noexcept;
[[nodiscard]] bool make_writer_type(PyObject* module) noexcept;
[[nodiscard]] bool make_protocol_type(PyObject* module) noexcept;

template <class Core, py::Ref Core::* Member>
PyObject* get_or_none(PyObject* self, void*) noexcept {
    return py::value_or_none((sync::core_of<Core>(self).*Member).get());
}

template <class Core, py::Ref Core::* Member>
int set_or_none(PyObject* self, PyObject* value, void*) noexcept {
    sync::core_of<Core>(self).*Member = value == Py_None ? py::Ref() : py::Ref::borrow(value);
    return 0;
}

template <class Core, bool Core::* Flag>
PyObject* get_flag(PyObject* self, void*) noexcept {
    return PyBool_FromLong(sync::core_of<Core>(self).*Flag);
}

template <class Core, bool Core::* Flag>
int set_flag(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        sync::core_of<Core>(self).*Flag = truth != 0;
    }
    return truth < 0 ? -1 : 0;
}

template <class Core>
void dealloc_finalized(PyObject* self) noexcept {
    if (py::finalize_before_dealloc(self)) {
        sync::Slots<Core>::dealloc(self);
    }
}

// As sync::make_primitive, for a class of asyncio's that has a __del__.
template <class Core>
PyTypeObject* make_finalized(PyObject* module, const sync::PrimitiveRecipe& recipe,
                             destructor finalize) noexcept {
    using S = sync::Slots<Core>;
    PyType_Slot slots[12] = {
        {Py_tp_new, reinterpret_cast<void*>(S::create)},
        {Py_tp_traverse, reinterpret_cast<void*>(S::traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(S::clear)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc_finalized<Core>)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
    };
    return sync::make_primitive(module, recipe, slots, sizeof(Core), alignof(Core),
                                &sync::core_offset<Core>);
}

} // namespace bucle::streams
