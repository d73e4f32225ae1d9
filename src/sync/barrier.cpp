// Barrier: a number of tasks that go on together. It is filled, then drained: who comes while it is
// drained, or reset, waits for the next filling. Subclasses, and barriers whose condition was
// replaced, go by asyncio's own code on our attributes.
#include "core/awaiting.hpp"
#include "py/call.hpp"
#include "sync/condition.hpp"
#include "sync/sync.hpp"

namespace bucle::sync {
namespace {

// Of py::State::barrier_states, the members of asyncio's enum.
enum Phase { kFilling, kDraining, kResetting, kBroken, kPhases };

struct Barrier {
    py::Ref condition;
    py::Ref state; // a member of the enum
    Count parties{Count::kMissing};
    Count count{Count::kMissing}; // of the tasks inside

    int visit(visitproc visitor, void* arg) const noexcept {
        int stop = condition.visit(visitor, arg);
        stop = stop != 0 ? stop : state.visit(visitor, arg);
        stop = stop != 0 ? stop : parties.visit(visitor, arg);
        return stop != 0 ? stop : count.visit(visitor, arg);
    }
    void clear() noexcept {
        condition.reset();
        state.reset();
        parties.clear();
        count.clear();
    }
};

Barrier& barrier_of(PyObject* self) noexcept {
    return core_of<Barrier>(self);
}

bool is_in(const Barrier& barrier, Phase phase) noexcept {
    return barrier.state == py::state().barrier_states[phase];
}

void go_to(Barrier& barrier, Phase phase) noexcept {
    barrier.state = py::Ref::borrow(py::state().barrier_states[phase]);
}

bool is_plain(PyObject* self) noexcept {
    return Py_TYPE(self) == py::state().barrier_type && barrier_of(self).condition &&
           is_plain_condition(barrier_of(self).condition.get());
}

// The coroutines hold the condition, and its lock through it, in arguments[1].
enum Stage : std::uint8_t { kEntering = kOwnStages, kBlocked, kInside };

// Whether the lock is ours at once; else `step` is to be returned first.
bool enter_condition(core::Coroutine& co, core::Step& step) noexcept {
    co.arguments[1] = barrier_of(co.arguments[0].get()).condition.clone();
    const py::Ref lock = condition_of(co.arguments[1].get()).lock.clone();
    const int claimed = claim_lock(lock_of(lock.get()));
    if (claimed > 0) {
        return true;
    }
    step = core::Step::fail;
    if (claimed == 0) {
        const py::Ref acquired = py::call_method(lock.get(), py::names().acquire);
        step = co.wait(acquired ? core::awaitable_of(acquired.get()) : py::Ref(), kEntering);
    }
    return false;
}

// Ends `async with self._cond`, and the call: with the error that is set, or with `value`.
core::Step leave(core::Coroutine& co, py::Ref value, py::Ref& result) noexcept {
    {
        const py::Finally scope;
        (void)py::call_method(co.arguments[1].get(), py::names().release);
    }
    return PyErr_Occurred() == nullptr ? core::finish_with(result, std::move(value))
                                       : core::Step::fail;
}

bool notify_all(core::Coroutine& co) noexcept {
    return static_cast<bool>(py::call_method(co.arguments[1].get(), py::names().notify_all));
}

core::Step wait_for_change(core::Coroutine& co, Stage stage) noexcept {
    const py::Ref waiting = py::call_method(co.arguments[1].get(), py::names().wait);
    return co.wait(waiting ? core::awaitable_of(waiting.get()) : py::Ref(), stage);
}

void raise_broken(const char* text) noexcept {
    PyErr_SetString(py::state().broken_barrier_error, text);
}

// The last task that goes out opens the barrier again.
core::Step go_out(core::Coroutine& co, Barrier& barrier, py::Ref& result) noexcept {
    {
        const py::Finally scope;
        const int last = barrier.count.add(-1) ? barrier.count.compare(0, Py_EQ) : -1;
        if (last > 0) {
            if (is_in(barrier, kResetting) || is_in(barrier, kDraining)) {
                go_to(barrier, kFilling);
            }
            (void)notify_all(co);
        }
    }
    return leave(co, std::move(co.kept), result);
}

core::Step stay_in(core::Coroutine& co, Barrier& barrier, py::Ref& result) noexcept {
    if (is_in(barrier, kFilling)) {
        const core::Step step = wait_for_change(co, kInside);
        return step == core::Step::fail ? go_out(co, barrier, result) : step;
    }
    if (is_in(barrier, kBroken) || is_in(barrier, kResetting)) {
        raise_broken("Abort or reset of barrier");
    }
    return go_out(co, barrier, result);
}

core::Step go_in(core::Coroutine& co, Barrier& barrier, py::Ref& result) noexcept {
    if (is_in(barrier, kDraining) || is_in(barrier, kResetting)) {
        const core::Step step = wait_for_change(co, kBlocked);
        return step == core::Step::fail ? leave(co, {}, result) : step;
    }
    if (is_in(barrier, kBroken)) {
        raise_broken("Barrier aborted");
        return leave(co, {}, result);
    }
    co.kept = barrier.count.as_python();
    if (!co.kept || !barrier.count.add(1)) {
        return leave(co, {}, result);
    }
    const int full = barrier.count.compare(barrier.parties, Py_EQ);
    if (full == 0) {
        return stay_in(co, barrier, result);
    }
    if (full > 0) {
        go_to(barrier, kDraining);
        (void)notify_all(co);
    }
    return go_out(co, barrier, result);
}

core::Step wait(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Barrier& barrier = barrier_of(self);
    core::Step step = core::Step::fail;
    switch (co.stage) {
    case kStart:
        if (is_plain(self)) [[likely]] {
            return enter_condition(co, step) ? go_in(co, barrier, result) : step;
        }
        [[fallthrough]];
    case kByTwin:
        return by_twin(co, std::move(value), std::move(error), result);
    case kEntering:
        return error ? core::fail_with(std::move(error)) : go_in(co, barrier, result);
    case kBlocked:
        if (error) {
            (void)core::fail_with(std::move(error));
            return leave(co, {}, result);
        }
        return go_in(co, barrier, result);
    default:
        if (error) {
            (void)core::fail_with(std::move(error));
            return go_out(co, barrier, result);
        }
        return stay_in(co, barrier, result);
    }
}

// reset() and abort(): a change that is made in the condition.
template <bool (*change)(Barrier&) noexcept>
core::Step make_change(core::Coroutine& co, py::Ref value, py::Ref error,
                       py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (co.stage == kByTwin || (co.stage == kStart && !is_plain(self))) {
        return by_twin(co, std::move(value), std::move(error), result);
    }
    core::Step step = core::Step::fail;
    if (co.stage == kStart && !enter_condition(co, step)) {
        return step;
    }
    if (error) {
        return core::fail_with(std::move(error));
    }
    if (change(barrier_of(self))) {
        (void)notify_all(co);
    }
    return leave(co, py::none(), result);
}

bool reset(Barrier& barrier) noexcept {
    const int occupied = barrier.count.compare(0, Py_GT);
    if (occupied >= 0) {
        go_to(barrier, occupied > 0 ? kResetting : kFilling);
    }
    return occupied >= 0;
}

bool abort(Barrier& barrier) noexcept {
    go_to(barrier, kBroken);
    return true;
}

core::Step leave_context(core::Coroutine&, py::Ref, py::Ref, py::Ref& result) noexcept {
    return core::finish_with_none(result);
}

PyObject* init(py::Function& function, PyObject* const* args) noexcept {
    Count parties;
    parties.assign(args[1]);
    const int too_few = parties.compare(1, Py_LT);
    if (too_few != 0) {
        return too_few < 0 ? nullptr : call_twin(function, args); // says it in this version's words
    }
    Barrier& barrier = barrier_of(args[0]);
    barrier.condition = make_condition();
    barrier.parties.assign(args[1]);
    go_to(barrier, kFilling);
    barrier.count.clear();
    return barrier.condition ? py::new_ref(Py_None) : nullptr;
}

// The rest, __repr__ among it, is asyncio's own: it only looks.
const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    core::async_row("wait", wait),
    core::async_row("reset", make_change<reset>),
    core::async_row("abort", make_change<abort>),
    core::async_row("__aenter__", wait),
    core::async_row("__aexit__", leave_context),
    {nullptr, nullptr},
};

PyGetSetDef kAttributes[] = {
    property<Barrier, &Barrier::condition>("_cond"),
    property<Barrier, &Barrier::parties>("_parties"),
    property<Barrier, &Barrier::state>("_state"),
    property<Barrier, &Barrier::count>("_count"),
    {"__dict__", get_dict, set_dict, nullptr, kAttributes},
    kEndOfProperties,
};

bool import_names() noexcept {
    constexpr const char* kMembers[kPhases] = {"FILLING", "DRAINING", "RESETTING", "BROKEN"};
    py::State& state = py::state();
    const py::Ref locks = py::Ref::steal(PyImport_ImportModule("asyncio.locks"));
    const py::Ref phases =
        locks ? py::Ref::steal(PyObject_GetAttrString(locks.get(), "_BarrierState")) : py::Ref();
    for (int i = 0; phases && i != kPhases; ++i) {
        state.barrier_states[i] = PyObject_GetAttrString(phases.get(), kMembers[i]);
        if (state.barrier_states[i] == nullptr) {
            return false;
        }
    }
    return static_cast<bool>(phases);
}

} // namespace

bool make_barrier_type(PyObject* module) noexcept {
    if (!import_names()) {
        return false;
    }
    PrimitiveRecipe recipe = {"bucle.Barrier", "asyncio.Barrier, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    return (py::state().barrier_type = make_primitive<Barrier>(module, recipe)) != nullptr;
}

} // namespace bucle::sync
