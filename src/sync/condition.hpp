// Condition, as the barrier uses its own.
#pragma once

#include "sync/lock.hpp"

namespace bucle::sync {

struct Condition : Waiting {
    py::Ref lock;
    // locked, acquire and release are attributes of the object in asyncio, taken from the lock when
    // the condition is made. Ours has them computed until somebody puts in another, or its lock is
    // none of ours: then all three stand in its dict.
    bool exported = false;

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = Waiting::visit(visitor, arg);
        return stop != 0 ? stop : lock.visit(visitor, arg);
    }
    void clear() noexcept {
        Waiting::clear();
        lock.reset();
    }
};

inline Condition& condition_of(PyObject* self) noexcept {
    return core_of<Condition>(self);
}

// Nothing of it can be overridden: exactly our type, around exactly our lock.
inline bool is_plain_condition(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().condition_type && !condition_of(object).exported &&
           condition_of(object).lock && is_exact_lock(condition_of(object).lock.get());
}

py::Ref make_condition() noexcept;

// Wakes up to `count` (whatever can be compared with an int) of those who wait, whoever holds the
// lock.
[[nodiscard]] bool notify_some(Condition& condition, PyObject* count) noexcept;
[[nodiscard]] bool notify_everybody(Condition& condition) noexcept;

} // namespace bucle::sync
