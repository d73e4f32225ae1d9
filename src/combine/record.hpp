// Record: what one call of a combinator keeps while it waits: C++ fields in an object, so that
// callbacks can own it and the collector sees through it. `Fields` has `visit` and `clear` for what
// it owns; a default one, of zeroes, owns nothing.
#pragma once

#include "py/type_builder.hpp"

namespace bucle::combine {

template <class Fields>
struct Record {
    PyObject_HEAD Fields fields;

    static int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
        if (const int stop = reinterpret_cast<Record*>(self)->fields.visit(visit, arg); stop != 0) {
            return stop;
        }
        return py::visit_type(self, visit, arg);
    }
    static int clear(PyObject* self) noexcept {
        reinterpret_cast<Record*>(self)->fields.clear();
        return 0;
    }
    static void dealloc(PyObject* self) noexcept {
        PyObject_GC_UnTrack(self);
        Py_TRASHCAN_BEGIN(self, dealloc);
        (void)clear(self);
        py::free_instance(self);
        Py_TRASHCAN_END;
    }
};

template <class Fields>
Fields& fields_of(PyObject* self) noexcept {
    return reinterpret_cast<Record<Fields>*>(self)->fields;
}

constexpr int kRecordSlots = 3; // to be left free at the beginning

// `slots` is what the type has beside the record's own.
template <class Fields>
PyTypeObject* make_record_type(PyObject* module, const char* name, PyType_Slot* slots) noexcept {
    using R = Record<Fields>;
    slots[0] = {Py_tp_traverse, reinterpret_cast<void*>(R::traverse)};
    slots[1] = {Py_tp_clear, reinterpret_cast<void*>(R::clear)};
    slots[2] = {Py_tp_dealloc, reinterpret_cast<void*>(R::dealloc)};
    const py::TypeRecipe recipe = {name,    slots,   sizeof(R) - sizeof(PyObject),     alignof(R),
                                   nullptr, nullptr, Py_TPFLAGS_DISALLOW_INSTANTIATION};
    return py::make_type(module, recipe, nullptr);
}

template <class Fields>
PyTypeObject* make_record_type(PyObject* module, const char* name) noexcept {
    PyType_Slot slots[kRecordSlots + 1] = {};
    return make_record_type<Fields>(module, name, slots);
}

} // namespace bucle::combine
