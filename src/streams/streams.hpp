// The types of this room, for the module, and what they share: instances that have a finalizer.
#pragma once

#include "py/error.hpp"
#include "sync/primitive.hpp"
#include "sync/properties.hpp"

namespace bucle::streams {

[[nodiscard]] bool make_reader_type(PyObject* module) noexcept;
[[nodiscard]] bool make_writer_type(PyObject* module) noexcept;
[[nodiscard]] bool make_protocol_type(PyObject* module) noexcept;

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
