// BlockPool: memory of dead objects of one exact type, kept for the next ones. Making an object
// through the allocator costs 40 to 60 ns with the garbage collector's book-keeping, from the pool
// 10 to 20. One pool a type and interpreter, used with the GIL held.
//
// Contract of give(): the object is dead, untracked, and everything that it or its base owned is
// released, weak references and instance dict included.
#pragma once

#include "base/free_list.hpp"
#include "py/compat.hpp"

#include <cstring>

namespace bucle::py {

inline void zero_fields(PyObject* object, PyTypeObject* type) noexcept {
    std::memset(reinterpret_cast<char*>(object) + sizeof(PyObject), 0,
                static_cast<std::size_t>(type->tp_basicsize) - sizeof(PyObject));
}

// A new object with zeroed fields, not tracked by the collector; null with MemoryError set.
inline PyObject* allocate_untracked(PyTypeObject* type) noexcept {
    PyObject* object = PyObject_GC_New(PyObject, type);
    if (object != nullptr) {
        zero_fields(object, type);
    }
    return object;
}

class BlockPool {
  public:
    // An untracked object with zeroed fields; null with MemoryError set.
    PyObject* take(PyTypeObject* type) noexcept {
        auto* object = static_cast<PyObject*>(blocks_.pop());
        if (object == nullptr) [[unlikely]] {
            return allocate_untracked(type);
        }
        compat::forget_collection(object);
        Py_SET_REFCNT(object, 1);
        zero_fields(object, type);
        return object;
    }

    // Keeps the memory, and its reference to the type, or frees both when the pool is full.
    void give(PyObject* object) noexcept {
        PyTypeObject* type = Py_TYPE(object);
        if (!blocks_.push(object)) [[unlikely]] {
            PyObject_GC_Del(object);
            Py_DECREF(type);
        }
    }

  private:
    base::FreeList<256> blocks_;
};

inline void track(PyObject* object) noexcept {
    if (PyObject_GC_IsTracked(object) == 0) {
        PyObject_GC_Track(object);
    }
}

} // namespace bucle::py
