// Lock: fair, first come first served. Invariant: while it is unlocked and somebody waits, the
// first waiter that is not cancelled has been woken; it claims the lock when its task runs.
#include "sync/sync.hpp"

#include "py/error.hpp"
#include "sync/deque.hpp"
#include "sync/primitive.hpp"

namespace bucle::sync {
namespace {

struct Lock {
    Deque waiters;
    py::Ref loop;
    bool locked;
    bool has_waiters; // asyncio's _waiters is a deque, no longer None

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = waiters.visit(visitor, arg);
        return stop != 0 ? stop : loop.visit(visitor, arg);
    }
    void clear() noexcept {
        waiters.clear();
        loop.reset();
    }
};

Lock& lock_of(PyObject* self) noexcept {
    return core_of<Lock>(self);
}

// 1 when nobody who is still interested waits; -1 with an error set.
int all_cancelled(const Lock& lock) noexcept {
    const Py_ssize_t count = lock.waiters.size();
    for (Py_ssize_t i = 0; i < count; ++i) {
        const py::Ref waiter = lock.waiters.at(i);
        const int cancelled = waiter ? is_cancelled(waiter.get()) : -1;
        if (cancelled != 1) {
            return cancelled;
        }
    }
    return count < 0 ? -1 : 1;
}

// A first waiter that is done already will run, and claim the lock or pass it on.
bool wake_first(Lock& lock) noexcept {
    const int empty = lock.waiters.empty();
    if (empty != 0) {
        return empty > 0;
    }
    const py::Ref first = lock.waiters.at(0);
    const int done = first ? is_done(first.get()) : -1;
    return done == 0 ? wake(first.get(), Py_True) : done > 0;
}

core::Step claim(Lock& lock, py::Ref& result) noexcept {
    lock.locked = true;
    return core::finish_with(result, py::Ref::borrow(Py_True));
}

core::Step acquire(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Lock& lock = lock_of(self);
    if (co.stage == 0) {
        if (!lock.locked) {
            const int free = all_cancelled(lock);
            if (free != 0) {
                return free > 0 ? claim(lock, result) : core::Step::fail;
            }
        }
        lock.has_waiters = true;
        py::Ref waiter = make_waiter(self, lock.loop);
        if (!waiter || !lock.waiters.push_back(waiter.get())) {
            return core::Step::fail;
        }
        co.kept = waiter.clone();
        return co.wait(std::move(waiter), 1);
    }
    if (!lock.waiters.remove(co.kept.get())) {
        return core::Step::fail;
    }
    if (!error) {
        return claim(lock, result);
    }
    if (!lock.locked &&
        PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) != 0 &&
        !wake_first(lock)) {
        return core::Step::fail;
    }
    return core::fail_with(std::move(error));
}

core::Step enter(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (Py_TYPE(co.arguments[0].get()) != py::state().lock_type) {
        return enter_by_name(co, std::move(value), std::move(error), result);
    }
    const core::Step step = acquire(co, std::move(value), std::move(error), result);
    return step == core::Step::finish ? core::finish_with_none(result) : step;
}

bool release_lock(PyObject* self) noexcept {
    Lock& lock = lock_of(self);
    if (!lock.locked) {
        py::raise_runtime_error("Lock is not acquired.");
        return false;
    }
    lock.locked = false;
    return wake_first(lock);
}

core::Step leave(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (Py_TYPE(co.arguments[0].get()) != py::state().lock_type) {
        return leave_by_name(co, std::move(value), std::move(error), result);
    }
    return release_lock(co.arguments[0].get()) ? core::finish_with_none(result) : core::Step::fail;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Lock& lock = lock_of(args[0]);
    lock.locked = lock.has_waiters = false;
    lock.waiters.clear();
    Py_RETURN_NONE;
}

PyObject* release(py::Function&, PyObject* const* args) noexcept {
    return release_lock(args[0]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* locked(py::Function&, PyObject* const* args) noexcept {
    return PyBool_FromLong(lock_of(args[0]).locked);
}

PyObject* wake_up_first(py::Function&, PyObject* const* args) noexcept {
    return wake_first(lock_of(args[0])) ? py::new_ref(Py_None) : nullptr;
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Lock& lock = lock_of(args[0]);
    return primitive_repr(args[0],
                          py::Ref::steal(PyUnicode_FromString(lock.locked ? "locked" : "unlocked")),
                          lock.waiters.size());
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", repr},
    {"locked", locked},
    {"release", release},
    {"_wake_up_first", wake_up_first},
    core::async_row("acquire", acquire),
    core::async_row("__aenter__", enter),
    core::async_row("__aexit__", leave),
    {nullptr, nullptr},
};

PyObject* get_locked(PyObject* self, void*) noexcept {
    return PyBool_FromLong(lock_of(self).locked);
}

int set_locked(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        lock_of(self).locked = truth != 0;
    }
    return truth < 0 ? -1 : 0;
}

PyObject* get_waiters(PyObject* self, void*) noexcept {
    Lock& lock = lock_of(self);
    return lock.has_waiters ? lock.waiters.as_python().release() : py::new_ref(Py_None);
}

int set_waiters(PyObject* self, PyObject* value, void*) noexcept {
    Lock& lock = lock_of(self);
    lock.has_waiters = value != nullptr && value != Py_None;
    if (lock.has_waiters) {
        lock.waiters.replace(value);
    } else {
        lock.waiters.clear();
    }
    return 0;
}

PyObject* get_loop(PyObject* self, void*) noexcept {
    return py::value_or_none(lock_of(self).loop.get());
}

int set_loop(PyObject* self, PyObject* value, void*) noexcept {
    lock_of(self).loop = py::Ref::borrow(value);
    return 0;
}

PyGetSetDef kProperties[] = {
    {"_locked", get_locked, set_locked, nullptr, nullptr},
    {"_waiters", get_waiters, set_waiters, nullptr, nullptr},
    {"_loop", get_loop, set_loop, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace

bool make_lock_type(PyObject* module) noexcept {
    PrimitiveRecipe recipe = {"bucle.Lock", "asyncio.Lock, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kProperties;
    return (py::state().lock_type = make_primitive<Lock>(module, recipe)) != nullptr;
}

} // namespace bucle::sync
