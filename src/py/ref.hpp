// Ref owns one strong reference or is null. It moves and never copies: clone() is the only way to
// increment, so that every increment can be seen. A decref can run any Python code: reset() and
// assignment take the old value out before they drop it, hence a member never dangles meanwhile.
#pragma once

#include "py/python.hpp"

#include <utility>

namespace bucle::py {

class [[nodiscard]] Ref {
  public:
    constexpr Ref() noexcept = default;
    Ref(Ref&& other) noexcept : object_(other.release()) {}
    Ref(const Ref&) = delete;
    Ref& operator=(const Ref&) = delete;
    [[gnu::always_inline]] Ref& operator=(Ref&& other) noexcept {
        decref(std::exchange(object_, other.release()));
        return *this;
    }
    [[gnu::always_inline]] ~Ref() { decref(object_); }

    static Ref steal(PyObject* object) noexcept { return Ref(object); }
    static Ref borrow(PyObject* object) noexcept { return Ref(Py_XNewRef(object)); }
    template <class T>
    static Ref steal(T* object) noexcept {
        return Ref(reinterpret_cast<PyObject*>(object));
    }

    PyObject* get() const noexcept { return object_; }
    PyObject* release() noexcept { return std::exchange(object_, nullptr); }
    Ref clone() const noexcept { return borrow(object_); }
    [[gnu::always_inline]] void reset() noexcept { decref(release()); }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    bool operator==(const PyObject* object) const noexcept { return object_ == object; }

    int visit(visitproc visitor, void* arg) const noexcept {
        return object_ == nullptr ? 0 : visitor(object_, arg);
    }

  private:
    // Left to itself the compiler makes a function of it, called several times a task step.
    [[gnu::always_inline]] static void decref(PyObject* object) noexcept {
        if (object != nullptr) {
            Py_DECREF(object);
        }
    }

    explicit Ref(PyObject* object) noexcept : object_(object) {}
    PyObject* object_ = nullptr;
};

inline Ref none() noexcept {
    return Ref::borrow(Py_None);
}

// A new reference to return from a slot.
inline PyObject* new_ref(PyObject* object) noexcept {
    return Py_NewRef(object);
}

inline PyObject* value_or_none(PyObject* object) noexcept {
    return Py_NewRef(object == nullptr ? Py_None : object);
}

// What a method without a result returns: null where an error is set.
inline PyObject* none_if(bool ok) noexcept {
    return ok ? Py_NewRef(Py_None) : nullptr;
}

// For the ready ring and other containers of raw owned pointers.
inline void drop(PyObject* object) noexcept {
    Py_XDECREF(object);
}

inline void clear(PyObject*& slot) noexcept {
    Py_XDECREF(std::exchange(slot, nullptr));
}

inline bool is_sole_owner(PyObject* object) noexcept {
    return Py_REFCNT(object) == 1;
}

} // namespace bucle::py
