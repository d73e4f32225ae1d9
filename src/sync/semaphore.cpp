// Semaphore and BoundedSemaphore: a counted lock, fair. Invariant: a waiter that is woken has been
// given its slot: the value went down when it was woken, not when its task runs. A task that is
// cancelled in between gives the slot back; how differs between asyncio's versions
// (semaphore_wakes_all is from 3.13 on).
#include "py/call.hpp"
#include "sync/sync.hpp"
#include "sync/waiting.hpp"

namespace bucle::sync {
namespace {

constexpr const char* kValueName = "_value";

struct Semaphore : Waiting {
    Count value{Count::kMissing};
    Count bound{Count::kMissing}; // of a BoundedSemaphore

    int visit(visitproc visitor, void* arg) const noexcept {
        int stop = Waiting::visit(visitor, arg);
        stop = stop != 0 ? stop : value.visit(visitor, arg);
        return stop != 0 ? stop : bound.visit(visitor, arg);
    }
    void clear() noexcept {
        Waiting::clear();
        value.clear();
        bound.clear();
    }
};

Semaphore& semaphore_of(PyObject* self) noexcept {
    return core_of<Semaphore>(self);
}

bool is_bounded(PyObject* self) noexcept {
    return Py_TYPE(self) == py::state().bounded_semaphore_type;
}

bool is_exact(PyObject* self) noexcept {
    return Py_TYPE(self) == py::state().semaphore_type || is_bounded(self);
}

// For an error that is set: it names the attribute if that is what failed. Returns -1.
int failed(PyObject* self) noexcept {
    if (semaphore_of(self).value.missing()) {
        py::raise_no_attribute(self, kValueName);
    }
    return -1;
}

// `locked()`: no slot is free, or somebody waits who has to go first. -1 with an error set.
int is_locked(PyObject* self) noexcept {
    const Semaphore& semaphore = semaphore_of(self);
    const int none_free = semaphore.value.compare(0, Py_EQ);
    if (none_free != 0) {
        return none_free > 0 ? 1 : failed(self);
    }
    return semaphore.waiters.for_each([](PyObject* waiter) noexcept {
        const int cancelled = core::is_cancelled(waiter);
        return cancelled < 0 ? -1 : 1 - cancelled;
    });
}

int ask_locked(PyObject* self) noexcept {
    return is_exact(self) ? is_locked(self)
                          : py::truth_of(py::call_method(self, py::names().locked));
}

// 1: a waiter was given a slot; 0: nobody waits; -1 with an error set.
int wake_next(Semaphore& semaphore) noexcept {
    return semaphore.waiters.for_each([&](PyObject* waiter) noexcept {
        const int done = core::is_done(waiter);
        if (done != 0) {
            return done < 0 ? -1 : 0;
        }
        return semaphore.value.add(-1) && core::set_result_of(waiter, Py_True) ? 1 : -1;
    });
}

int ask_wake_next(PyObject* self) noexcept {
    return is_exact(self) ? wake_next(semaphore_of(self))
                          : py::truth_of(py::call_method(self, py::names()._wake_up_next));
}

// Whether a task whose wait failed had been given a slot.
int had_slot(PyObject* waiter, PyObject* error) noexcept {
    if (PyErr_GivenExceptionMatches(error, py::state().cancelled_error) == 0) {
        return 0;
    }
    const int cancelled = core::is_cancelled(waiter);
    if (cancelled != 0 || !py::state().semaphore_wakes_all) {
        return cancelled < 0 ? -1 : 1 - cancelled;
    }
    return core::is_done(waiter);
}

bool wake_all_allowed(PyObject* self) noexcept {
    for (;;) {
        const int free = semaphore_of(self).value.compare(0, Py_GT);
        const int woken = free > 0 ? ask_wake_next(self) : free;
        if (woken <= 0) {
            return woken == 0;
        }
    }
}

// The end of a wait; before 3.13 only he who gives a slot back, or got one, wakes another.
bool settle(PyObject* self, PyObject* waiter, PyObject* error) noexcept {
    Semaphore& semaphore = semaphore_of(self);
    const int gives_back = error == nullptr ? 0 : had_slot(waiter, error);
    if (gives_back < 0 || (gives_back > 0 && !semaphore.value.add(1))) {
        return false;
    }
    if (py::state().semaphore_wakes_all) {
        return wake_all_allowed(self);
    }
    const int wakes = error == nullptr ? semaphore.value.compare(0, Py_GT) : gives_back;
    return wakes <= 0 ? wakes == 0 : ask_wake_next(self) >= 0;
}

core::Step acquire(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Semaphore& semaphore = semaphore_of(self);
    if (co.stage == 0) {
        const int locked = ask_locked(self);
        if (locked == 0) {
            return semaphore.value.add(-1) ? core::finish_with(result, py::Ref::borrow(Py_True))
                                           : core::Step::fail;
        }
        py::Ref waiter = locked > 0 ? make_waiter(self, semaphore.loop) : py::Ref();
        if (!waiter || !semaphore.waiters.push_back(waiter.get())) {
            return core::Step::fail;
        }
        co.kept = waiter.clone();
        return co.wait(std::move(waiter), 1);
    }
    if (!semaphore.waiters.remove(co.kept.get()) || !settle(self, co.kept.get(), error.get())) {
        return core::fail_after(std::move(error));
    }
    return error ? core::fail_with(std::move(error))
                 : core::finish_with(result, py::Ref::borrow(Py_True));
}

core::Step enter(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (!is_exact(co.arguments[0].get())) {
        return enter_by_name(co, std::move(value), std::move(error), result);
    }
    const core::Step step = acquire(co, std::move(value), std::move(error), result);
    return step == core::Step::finish ? core::finish_with_none(result) : step;
}

bool give_back(PyObject* self) noexcept {
    return semaphore_of(self).value.add(1) ? ask_wake_next(self) >= 0 : failed(self) >= 0;
}

bool give_back_bounded(PyObject* self) noexcept {
    const Semaphore& semaphore = semaphore_of(self);
    const int full = semaphore.value.compare(semaphore.bound, Py_GE);
    if (full > 0) {
        py::raise_value_error("BoundedSemaphore released too many times");
    }
    return full == 0 ? give_back(self) : full < 0 && failed(self) >= 0;
}

core::Step leave(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (!is_exact(self)) {
        return leave_by_name(co, std::move(value), std::move(error), result);
    }
    const bool released = is_bounded(self) ? give_back_bounded(self) : give_back(self);
    return released ? core::finish_with_none(result) : core::Step::fail;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Count value;
    value.assign(args[1]);
    const int negative = value.compare(0, Py_LT);
    if (negative != 0) {
        return negative < 0 ? nullptr
                            : py::raise_value_error("Semaphore initial value must be >= 0");
    }
    Semaphore& semaphore = semaphore_of(args[0]);
    semaphore.value.assign(args[1]);
    semaphore.waiters.clear();
    Py_RETURN_NONE;
}

PyObject* init_bounded(py::Function& function, PyObject* const* args) noexcept {
    semaphore_of(args[0]).bound.assign(args[1]);
    return init(function, args);
}

PyObject* release(py::Function&, PyObject* const* args) noexcept {
    return give_back(args[0]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* release_bounded(py::Function&, PyObject* const* args) noexcept {
    return give_back_bounded(args[0]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* locked(py::Function&, PyObject* const* args) noexcept {
    const int answer = is_locked(args[0]);
    return answer < 0 ? nullptr : PyBool_FromLong(answer);
}

// Up to 3.12 it returns nothing.
PyObject* wake_up_next(py::Function&, PyObject* const* args) noexcept {
    const int woken = wake_next(semaphore_of(args[0]));
    if (woken < 0) {
        return nullptr;
    }
    return py::state().semaphore_wakes_all ? PyBool_FromLong(woken) : py::new_ref(Py_None);
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Semaphore& semaphore = semaphore_of(args[0]);
    const int locked = ask_locked(args[0]);
    if (locked < 0) {
        return nullptr;
    }
    py::Ref state;
    if (locked != 0) {
        state = py::Ref::steal(PyUnicode_FromString("locked"));
    } else if (const py::Ref value = semaphore.value.as_python()) {
        state = py::Ref::steal(PyUnicode_FromFormat("unlocked, value:%S", value.get()));
    }
    return primitive_repr(args[0], std::move(state), semaphore.waiters.size());
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", repr},
    {"locked", locked},
    {"release", release},
    {"_wake_up_next", wake_up_next},
    core::async_row("acquire", acquire),
    core::async_row("__aenter__", enter),
    core::async_row("__aexit__", leave),
    {nullptr, nullptr},
};

const py::FunctionRow kBoundedFunctions[] = {
    {"__init__", init_bounded},
    {"release", release_bounded},
    {nullptr, nullptr},
};

constexpr PyGetSetDef kWaiters = optional_property<Semaphore, &Semaphore::waiters>("_waiters");
constexpr PyGetSetDef kValue = property<Semaphore, &Semaphore::value>(kValueName);
constexpr PyGetSetDef kLoop = optional_property<Semaphore, &Semaphore::loop>("_loop");

PyGetSetDef kAttributes[] = {
    kWaiters,         kValue, kLoop, {"__dict__", get_dict, set_dict, nullptr, kAttributes},
    kEndOfProperties,
};

PyGetSetDef kBoundedAttributes[] = {
    property<Semaphore, &Semaphore::bound>("_bound_value"),        kWaiters,         kValue, kLoop,
    {"__dict__", get_dict, set_dict, nullptr, kBoundedAttributes}, kEndOfProperties,
};

} // namespace

bool make_semaphore_types(PyObject* module) noexcept {
    py::State& state = py::state();
    state.semaphore_wakes_all = py::twin_mentions("asyncio.locks", "Semaphore.acquire", "done");
    PrimitiveRecipe recipe = {"bucle.Semaphore", "asyncio.Semaphore, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    state.semaphore_type = make_primitive<Semaphore>(module, recipe);
    PrimitiveRecipe bounded = {"bucle.BoundedSemaphore", "asyncio.BoundedSemaphore, native.",
                               "asyncio.locks"};
    bounded.base = state.semaphore_type;
    bounded.functions = kBoundedFunctions;
    bounded.getset = kBoundedAttributes;
    state.bounded_semaphore_type =
        state.semaphore_type == nullptr ? nullptr : make_primitive<Semaphore>(module, bounded);
    return state.bounded_semaphore_type != nullptr;
}

} // namespace bucle::sync
