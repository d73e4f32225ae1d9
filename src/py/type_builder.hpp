// Making heap types. A type is a spec plus `Own`: the size of our fields, which stand behind those
// of the base at an offset that is known only at run time (the base's basicsize), so that no layout
// of CPython's is assumed.
#pragma once

#include "py/compat.hpp"
#include "py/state.hpp"

namespace bucle::py {

struct TypeRecipe {
    const char* name;     // "bucle.Future"
    PyType_Slot* slots;   // ends with {0, nullptr}
    std::size_t own_size; // of the fields behind the base's
    std::size_t own_align;
    PyTypeObject* base;   // null: object
    PyTypeObject* meta;   // null: what the bases give
    unsigned extra_flags; // beside DEFAULT | HAVE_GC
    bool is_twin = false; // instances of the base pass for instances of the type (see core/meta)
    // Where `base` is one of ours: the stock class that is a base too, and whose twin the type is.
    PyTypeObject* stock = nullptr;
    std::size_t place = 0; // of our fields; 0: behind the base's
};

// The type (owned by the caller) or null; `offset` gets the place of our fields.
PyTypeObject* make_type(PyObject* module, const TypeRecipe& recipe, std::size_t* offset) noexcept;

// Puts methods on `type` whose descriptors accept instances of `receiver`, a base of `type`.
[[nodiscard]] bool add_methods_for(PyTypeObject* type, PyTypeObject* receiver,
                                   PyMethodDef* methods) noexcept;

// Puts properties on a finished type, beside those that it was made with.
[[nodiscard]] bool add_getset(PyTypeObject* type, PyGetSetDef* table) noexcept;

// Frees an instance of a heap type whose base is a class written in Python: chaining to the base's
// dealloc would find ours again. The caller has untracked it and cleared its own fields.
void free_instance(PyObject* self) noexcept;

// Ends the dealloc of an instance whose base is a C type: the base clears its fields, weak
// references and dict, frees the memory and drops the type.
void chain_dealloc(PyObject* self, PyTypeObject* base) noexcept;

// The same for an exact type of ours that has a pool.
void chain_dealloc_into(PyObject* self, PyTypeObject* base, BlockPool& pool) noexcept;

// The first call of a dealloc: runs the finalizer. False when the object was resurrected.
[[nodiscard]] bool finalize_before_dealloc(PyObject* self) noexcept;

int visit_type(PyObject* self, visitproc visit, void* arg) noexcept;

// Zeroed memory of `type` through its allocator.
inline PyObject* allocate(PyTypeObject* type) noexcept {
    return type->tp_alloc(type, 0);
}

template <class Own>
Own* own_fields(PyObject* self, std::size_t offset) noexcept {
    return reinterpret_cast<Own*>(reinterpret_cast<char*>(self) + offset);
}

} // namespace bucle::py
