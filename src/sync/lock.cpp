// Lock: fair, first come first served. Invariant: while it is unlocked and somebody waits, the
// first waiter that is not cancelled has been woken; it claims the lock when its task runs.
#include "sync/lock.hpp"

#include "py/call.hpp"
#include "sync/sync.hpp"

namespace bucle::sync {
namespace {

constexpr const char* kLocked = "_locked";

// A first waiter that is done already will run, and claim the lock or pass it on.
bool wake_first(Lock& lock) noexcept {
    const int empty = lock.waiters.empty();
    if (empty != 0) {
        return empty > 0;
    }
    const py::Ref first = lock.waiters.at(0);
    const int done = first ? core::is_done(first.get()) : -1;
    return done == 0 ? core::set_result_of(first.get(), Py_True) : done > 0;
}

// self._wake_up_first()
bool wake_first_of(PyObject* self) noexcept {
    return is_exact_lock(self)
               ? wake_first(lock_of(self))
               : static_cast<bool>(py::call_method(self, py::names()._wake_up_first));
}

} // namespace

py::Ref make_lock() noexcept {
    py::Ref self = py::Ref::steal(Slots<Lock>::create(py::state().lock_type, nullptr, nullptr));
    if (self) {
        lock_of(self.get()).locked = false;
    }
    return self;
}

int claim_lock(Lock& lock) noexcept {
    if (!lock.locked.off()) {
        return 0;
    }
    const int somebody = lock.waiters.for_each([](PyObject* waiter) noexcept {
        const int cancelled = core::is_cancelled(waiter);
        return cancelled < 0 ? -1 : 1 - cancelled;
    });
    if (somebody != 0) {
        return somebody < 0 ? -1 : 0;
    }
    lock.locked = true;
    return 1;
}

py::Ref wait_for_lock(PyObject* self) noexcept {
    Lock& lock = lock_of(self);
    if (lock.locked.missing()) {
        py::raise_no_attribute(self, kLocked);
        return {};
    }
    py::Ref waiter = make_waiter(self, lock.loop);
    return waiter && lock.waiters.push_back(waiter.get()) ? std::move(waiter) : py::Ref();
}

bool end_wait_for_lock(PyObject* self, PyObject* waiter, py::Ref error) noexcept {
    Lock& lock = lock_of(self);
    const bool left = lock.waiters.remove(waiter);
    if (left && !error) {
        lock.locked = true;
        return true;
    }
    const bool passes_on =
        left && !lock.locked.on() &&
        PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) != 0;
    if (left && (!passes_on || wake_first_of(self))) {
        py::compat::put_exception(std::move(error));
    } else {
        py::raise_chained(py::compat::take_exception(), std::move(error));
    }
    return false;
}

bool release_lock(PyObject* self) noexcept {
    Lock& lock = lock_of(self);
    if (!lock.locked.on()) {
        if (lock.locked.missing()) {
            py::raise_no_attribute(self, kLocked);
        } else {
            py::raise_runtime_error("Lock is not acquired.");
        }
        return false;
    }
    lock.locked = false;
    return wake_first_of(self);
}

core::Step acquire_lock(core::Coroutine& co, PyObject* self, py::Ref error,
                        py::Ref& result) noexcept {
    Lock& lock = lock_of(self);
    if (co.stage == 0) {
        const int claimed = claim_lock(lock);
        if (claimed != 0) {
            return claimed < 0 ? core::Step::fail
                               : core::finish_with(result, py::Ref::borrow(Py_True));
        }
        py::Ref waiter = wait_for_lock(self);
        co.kept = waiter.clone();
        return co.wait(std::move(waiter), 1);
    }
    return end_wait_for_lock(self, co.kept.get(), std::move(error))
               ? core::finish_with(result, py::Ref::borrow(Py_True))
               : core::Step::fail;
}

namespace {

core::Step acquire(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    return acquire_lock(co, co.arguments[0].get(), std::move(error), result);
}

core::Step enter(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (!is_exact_lock(self)) {
        return enter_by_name(co, std::move(value), std::move(error), result);
    }
    const core::Step step = acquire_lock(co, self, std::move(error), result);
    return step == core::Step::finish ? core::finish_with_none(result) : step;
}

core::Step leave(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (!is_exact_lock(self)) {
        return leave_by_name(co, std::move(value), std::move(error), result);
    }
    return release_lock(self) ? core::finish_with_none(result) : core::Step::fail;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Lock& lock = lock_of(args[0]);
    lock.locked = false;
    lock.waiters.clear();
    Py_RETURN_NONE;
}

PyObject* release(py::Function&, PyObject* const* args) noexcept {
    return release_lock(args[0]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* locked(py::Function&, PyObject* const* args) noexcept {
    return detail::show(args[0], lock_of(args[0]).locked, kLocked);
}

PyObject* wake_up_first(py::Function&, PyObject* const* args) noexcept {
    return wake_first(lock_of(args[0])) ? py::new_ref(Py_None) : nullptr;
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Lock& lock = lock_of(args[0]);
    return primitive_repr(args[0], describe(args[0], lock.locked, kLocked, "locked", "unlocked"),
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

PyGetSetDef kAttributes[] = {
    optional_property<Lock, &Lock::waiters>("_waiters"),
    property<Lock, &Lock::locked>(kLocked),
    optional_property<Lock, &Lock::loop>("_loop"),
    {"__dict__", get_dict, set_dict, nullptr, kAttributes},
    kEndOfProperties,
};

} // namespace

bool make_lock_type(PyObject* module) noexcept {
    PrimitiveRecipe recipe = {"bucle.Lock", "asyncio.Lock, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    return (py::state().lock_type = make_primitive<Lock>(module, recipe)) != nullptr;
}

} // namespace bucle::sync
