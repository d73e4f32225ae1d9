// Condition: tasks that hold a lock give it up until they are notified. How the wait ends differs
// between asyncio's versions (condition_passes_on is from 3.13 on):
// - before, a cancellation while the lock is being taken back becomes a new CancelledError;
// - after, the last such CancelledError itself is raised, the future is made before the lock is
//   released, and whoever is notified and fails all the same notifies another.
// Conditions that are not plain (see condition.hpp) go by asyncio's own code, on our attributes.
#include "sync/condition.hpp"

#include "core/awaiting.hpp"
#include "py/call.hpp"
#include "sync/sync.hpp"

namespace bucle::sync {
namespace {

// wait(): arguments[1] is the lock, arguments[2] the error to end with, if any.
enum Stage : std::uint8_t { kNotified = kOwnStages, kRelocking, kRelockingCancelled };

core::Step end_wait(core::Coroutine& co, py::Ref error, py::Ref& result) noexcept {
    if (!error) {
        return core::finish_with(result, py::Ref::borrow(Py_True));
    }
    if (py::state().condition_passes_on) {
        const py::Ref one = py::Ref::steal(PyLong_FromLong(1));
        if (!one || !notify_some(condition_of(co.arguments[0].get()), one.get())) {
            return core::Step::fail;
        }
    }
    const py::Ref context = py::Ref::steal(PyException_GetContext(error.get()));
    if (co.stage == kRelockingCancelled && !context) {
        py::raise(std::move(error)); // long after it was caught: what the program handles counts
        return core::Step::fail;
    }
    return core::fail_with(std::move(error));
}

core::Step end_locked_wait(core::Coroutine& co, py::Ref& result) noexcept {
    py::Ref error = std::move(co.arguments[2]);
    if (co.stage == kRelockingCancelled && !py::state().condition_passes_on) {
        py::Ref cancelled = py::call(py::state().cancelled_error);
        if (!cancelled) {
            return core::Step::fail;
        }
        py::set_context(cancelled.get(), error.get());
        error = std::move(cancelled);
    }
    return end_wait(co, std::move(error), result);
}

// What was raised while the lock was being taken back. True: try again.
bool note_error(core::Coroutine& co) noexcept {
    py::Ref error = py::compat::take_exception();
    py::Ref& noted = co.arguments[2];
    const bool cancelled =
        PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) != 0;
    if (cancelled && !py::state().condition_passes_on) {
        co.stage = kRelockingCancelled;
        return true;
    }
    // Each is raised while the error that ended the wait is handled, none while another of them is.
    const py::Ref first = co.stage == kRelockingCancelled && noted
                              ? py::Ref::steal(PyException_GetContext(noted.get()))
                              : noted.clone();
    py::set_context(error.get(), first.get());
    noted = std::move(error);
    if (cancelled) {
        co.stage = kRelockingCancelled;
    }
    return cancelled;
}

core::Step take_lock_back(core::Coroutine& co, py::Ref& result) noexcept {
    PyObject* const lock = co.arguments[1].get();
    for (;;) {
        const int claimed = claim_lock(lock_of(lock));
        if (claimed > 0) {
            return end_locked_wait(co, result);
        }
        py::Ref waiter = claimed == 0 ? wait_for_lock(lock) : py::Ref();
        if (waiter) {
            co.kept = waiter.clone();
            return co.wait(std::move(waiter), co.stage);
        }
        if (!note_error(co)) {
            return end_wait(co, std::move(co.arguments[2]), result);
        }
    }
}

// Gives the lock up and waits; 3.13 and later make the future first, so that a wrong loop is found
// before.
core::Step start_wait(core::Coroutine& co, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Condition& condition = condition_of(self);
    if (!lock_of(condition.lock.get()).locked.on()) {
        py::raise_runtime_error("cannot wait on un-acquired lock");
        return core::Step::fail;
    }
    co.arguments[1] = condition.lock.clone();
    py::Ref waiter;
    if (py::state().condition_passes_on) {
        waiter = make_waiter(self, condition.loop);
        if (!waiter) {
            return core::Step::fail;
        }
    }
    if (!release_lock(co.arguments[1].get())) {
        return core::Step::fail;
    }
    if (!waiter) {
        waiter = make_waiter(self, condition.loop);
    }
    if (!waiter || !condition.waiters.push_back(waiter.get())) {
        co.stage = kRelocking;
        co.arguments[2] = py::compat::take_exception();
        return take_lock_back(co, result);
    }
    co.kept = waiter.clone();
    return co.wait(std::move(waiter), kNotified);
}

core::Step wait(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    switch (co.stage) {
    case kStart:
        if (is_plain_condition(self)) [[likely]] {
            return start_wait(co, result);
        }
        [[fallthrough]];
    case kByTwin:
        return by_twin(co, std::move(value), std::move(error), result);
    case kNotified:
        if (!condition_of(self).waiters.remove(co.kept.get())) {
            py::Ref raised = py::compat::take_exception();
            py::set_context(raised.get(), error.get());
            error = std::move(raised);
        }
        co.arguments[2] = std::move(error);
        co.stage = kRelocking;
        return take_lock_back(co, result);
    default:
        break;
    }
    if (end_wait_for_lock(co.arguments[1].get(), co.kept.get(), std::move(error))) {
        return end_locked_wait(co, result);
    }
    return note_error(co) ? take_lock_back(co, result)
                          : end_wait(co, std::move(co.arguments[2]), result);
}

core::Step wait_for(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (error) {
        return core::fail_with(std::move(error));
    }
    py::Ref answer = py::call(co.arguments[1].get());
    const int truth = py::truth_of(answer);
    if (truth != 0) {
        return truth < 0 ? core::Step::fail : core::finish_with(result, std::move(answer));
    }
    const py::Ref waiting = py::call_method(co.arguments[0].get(), py::names().wait);
    return co.wait(waiting ? core::awaitable_of(waiting.get()) : py::Ref(), 1);
}

core::Step enter(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (co.stage == 0) {
        if (!is_plain_condition(self)) {
            return enter_by_name(co, std::move(value), std::move(error), result);
        }
        co.arguments[1] = condition_of(self).lock.clone();
    }
    if (!co.arguments[1]) {
        return enter_by_name(co, std::move(value), std::move(error), result);
    }
    const core::Step step = acquire_lock(co, co.arguments[1].get(), std::move(error), result);
    return step == core::Step::finish ? core::finish_with_none(result) : step;
}

core::Step leave(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (!is_plain_condition(self)) {
        return leave_by_name(co, std::move(value), std::move(error), result);
    }
    const py::Ref lock = condition_of(self).lock.clone();
    return release_lock(lock.get()) ? core::finish_with_none(result) : core::Step::fail;
}

int is_locked(PyObject* self) noexcept {
    if (is_plain_condition(self)) [[likely]] {
        return lock_of(condition_of(self).lock.get()).locked.on() ? 1 : 0;
    }
    return py::truth_of(py::call_method(self, py::names().locked));
}

bool require_lock(PyObject* self) noexcept {
    const int locked = is_locked(self);
    if (locked == 0) {
        py::raise_runtime_error("cannot notify on un-acquired lock");
    }
    return locked > 0;
}

PyObject* notify(py::Function& function, PyObject* const* args) noexcept {
    if (!is_plain_condition(args[0])) {
        return call_twin(function, args);
    }
    return require_lock(args[0]) && notify_some(condition_of(args[0]), args[1])
               ? py::new_ref(Py_None)
               : nullptr;
}

PyObject* notify_unlocked(py::Function&, PyObject* const* args) noexcept {
    return notify_some(condition_of(args[0]), args[1]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* notify_all(py::Function& function, PyObject* const* args) noexcept {
    if (!is_plain_condition(args[0])) {
        return call_twin(function, args);
    }
    return require_lock(args[0]) && notify_everybody(condition_of(args[0])) ? py::new_ref(Py_None)
                                                                            : nullptr;
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const int locked = is_locked(args[0]);
    return locked < 0
               ? nullptr
               : primitive_repr(
                     args[0],
                     py::Ref::steal(PyUnicode_FromString(locked != 0 ? "locked" : "unlocked")),
                     condition_of(args[0]).waiters.size());
}

// The closures of the three properties that come from the lock.
PyObject* py::Names::* kLocked = &py::Names::locked;
PyObject* py::Names::* kAcquire = &py::Names::acquire;
PyObject* py::Names::* kRelease = &py::Names::release;

PyObject* exported_name(void* closure) noexcept {
    return py::names().*(*static_cast<PyObject * py::Names::**>(closure));
}

// From now on the three stand in the dict.
bool export_methods(PyObject* self, Condition& condition) noexcept {
    const py::Names& names = py::names();
    const py::Ref lock = condition.lock.clone();
    const py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    for (PyObject* name : {names.locked, names.acquire, names.release}) {
        const py::Ref method = dict && lock ? py::get_attr(lock.get(), name) : py::Ref();
        if (lock && (!method || PyDict_SetItem(dict.get(), name, method.get()) < 0)) {
            return false;
        }
    }
    condition.exported = true;
    return static_cast<bool>(dict);
}

PyObject* get_exported(PyObject* self, void* closure) noexcept {
    PyObject* const name = exported_name(closure);
    const Condition& condition = condition_of(self);
    if (condition.lock && !condition.exported) {
        return PyObject_GetAttr(condition.lock.get(), name);
    }
    const py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    PyObject* const found = dict ? PyDict_GetItemWithError(dict.get(), name) : nullptr;
    if (found == nullptr && PyErr_Occurred() == nullptr) {
        return py::raise_no_attribute(self, PyUnicode_AsUTF8(name));
    }
    return found == nullptr ? nullptr : py::new_ref(found);
}

int set_exported(PyObject* self, PyObject* value, void* closure) noexcept {
    Condition& condition = condition_of(self);
    if (!condition.exported && !export_methods(self, condition)) {
        return -1;
    }
    PyObject* const name = exported_name(closure);
    const py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    if (!dict) {
        return -1;
    }
    if (value != nullptr) {
        return PyDict_SetItem(dict.get(), name, value);
    }
    if (PyDict_Contains(dict.get(), name) == 0) {
        PyErr_SetObject(PyExc_AttributeError, name);
        return -1;
    }
    return PyDict_DelItem(dict.get(), name);
}

int set_lock(PyObject* self, PyObject* value, void*) noexcept {
    Condition& condition = condition_of(self);
    if (condition.lock && !condition.exported && !export_methods(self, condition)) {
        return -1;
    }
    condition.lock = py::Ref::borrow(value);
    return 0;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    Condition& condition = condition_of(self);
    const bool again = condition.exported;
    condition.lock = args[1] == Py_None ? make_lock() : py::Ref::borrow(args[1]);
    if (!condition.lock) {
        return nullptr;
    }
    if (again || Py_TYPE(self) != py::state().condition_type ||
        !is_exact_lock(condition.lock.get())) {
        // By name: a subclass may have properties there.
        condition.exported = true;
        const py::Names& names = py::names();
        const py::Ref lock = condition.lock.clone();
        for (PyObject* name : {names.locked, names.acquire, names.release}) {
            const py::Ref method = py::get_attr(lock.get(), name);
            if (!method || PyObject_SetAttr(self, name, method.get()) < 0) {
                return nullptr;
            }
        }
    }
    condition.waiters.clear();
    Py_RETURN_NONE;
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", repr},
    {"notify", notify},
    {"_notify", notify_unlocked},
    {"notify_all", notify_all},
    core::async_row("wait", wait),
    core::async_row("wait_for", wait_for),
    core::async_row("__aenter__", enter),
    core::async_row("__aexit__", leave),
    {nullptr, nullptr},
};

char kLock[] = "_lock";

PyGetSetDef kAttributes[] = {
    {kLock, detail::get<Condition, &Condition::lock>, set_lock, nullptr, kLock},
    {"locked", get_exported, set_exported, nullptr, &kLocked},
    {"acquire", get_exported, set_exported, nullptr, &kAcquire},
    {"release", get_exported, set_exported, nullptr, &kRelease},
    property<Condition, &Condition::waiters>("_waiters"),
    optional_property<Condition, &Condition::loop>("_loop"),
    {"__dict__", get_dict, set_dict, nullptr, kAttributes},
    kEndOfProperties,
};

} // namespace

py::Ref make_condition() noexcept {
    py::Ref self =
        py::Ref::steal(Slots<Condition>::create(py::state().condition_type, nullptr, nullptr));
    if (self) {
        condition_of(self.get()).lock = make_lock();
    }
    return self && condition_of(self.get()).lock ? std::move(self) : py::Ref();
}

bool notify_some(Condition& condition, PyObject* count) noexcept {
    Count wanted;
    wanted.assign(count);
    Count woken;
    const int stop = condition.waiters.for_each([&](PyObject* waiter) noexcept {
        const int enough = woken.compare(wanted, Py_GE);
        if (enough != 0) {
            return enough;
        }
        const int done = core::is_done(waiter);
        if (done == 0) {
            return woken.add(1) && core::set_result_of(waiter, Py_False) ? 0 : -1;
        }
        return done < 0 ? -1 : 0;
    });
    return stop >= 0;
}

bool notify_everybody(Condition& condition) noexcept {
    const Py_ssize_t waiting = condition.waiters.size();
    const py::Ref count = waiting < 0 ? py::Ref() : py::Ref::steal(PyLong_FromSsize_t(waiting));
    return count && notify_some(condition, count.get());
}

bool make_condition_type(PyObject* module) noexcept {
    py::State& state = py::state();
    state.condition_passes_on = py::twin_mentions("asyncio.locks", "Condition.wait", "_notify");
    PrimitiveRecipe recipe = {"bucle.Condition", "asyncio.Condition, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    return (state.condition_type = make_primitive<Condition>(module, recipe)) != nullptr;
}

} // namespace bucle::sync
