// Timeout, timeout() and timeout_at(): one object and, where there is a deadline, one timer. The
// timer's callback is the native method with the object for its argument: no bound method is made.
#include "combine/timeout.hpp"

#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "core/coroutine.hpp"
#include "core/handle.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "sync/properties.hpp"

#include <array>

namespace bucle::combine {
namespace {

enum class State : std::uint8_t { missing, created, entered, expiring, expired, exited };

struct Timeout {
    py::Ref when; // null: None
    py::Ref task;
    py::Ref handler;
    long cancelling = 0; // of the task, when it entered
    State state = {};

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&when, &task, &handler}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return 0;
    }
    void clear() noexcept {
        when.reset();
        task.reset();
        handler.reset();
    }
};

Timeout& timeout_of(PyObject* self) noexcept {
    return sync::core_of<Timeout>(self);
}

struct StateName {
    const char* name;  // of asyncio's enum member
    const char* value; // of the member
};

// The first: __init__ never ran.
constexpr std::array<StateName, 6> kStates = {{{"", ""},
                                               {"CREATED", "created"},
                                               {"ENTERED", "active"},
                                               {"EXPIRING", "expiring"},
                                               {"EXPIRED", "expired"},
                                               {"EXITED", "finished"}}};

const StateName& name_of(State state) noexcept {
    return kStates.at(static_cast<std::size_t>(state));
}

bool has_state(PyObject* self) noexcept {
    if (timeout_of(self).state != State::missing) {
        return true;
    }
    py::raise_no_attribute(self, "_state");
    return false;
}

bool cancel_handler(Timeout& timeout) noexcept {
    const py::Ref handler = std::move(timeout.handler);
    return !handler || core::cancel_any_handle(handler.get());
}

// The timer, or a turn's delay when the deadline is over.
bool arm(PyObject* self, Timeout& timeout, PyObject* loop) noexcept {
    const py::Ref now = core::loop_time(loop);
    const py::Ref when = timeout.when.clone();
    const int over = now ? PyObject_RichCompareBool(when.get(), now.get(), Py_LE) : -1;
    if (over < 0) {
        return false;
    }
    const py::Names& names = py::names();
    const py::State& state = py::state();
    if (Py_TYPE(self) == state.timeout_type) [[likely]] {
        PyObject* const expire = state.timeout_expire;
        return keep_timer(timeout.handler,
                          over > 0 ? py::call_method(loop, names.call_soon, expire, self)
                                   : core::call_at(loop, when.get(), expire, self));
    }
    const py::Ref expire = py::get_attr(self, names._on_timeout);
    return expire &&
           keep_timer(timeout.handler,
                      over > 0 ? py::call_method(loop, names.call_soon, expire.get())
                               : py::call_method(loop, names.call_at, when.get(), expire.get()));
}

bool set_deadline(PyObject* self, Timeout& timeout, PyObject* when) noexcept {
    if (timeout.state != State::entered) {
        if (!has_state(self)) {
            return false;
        }
        if (timeout.state != State::created) {
            PyErr_Format(PyExc_RuntimeError, "Cannot change state of %s Timeout",
                         name_of(timeout.state).value);
        } else if (py::state().timeout_rules.checks_entry) {
            py::raise_runtime_error("Timeout has not been entered");
        } else {
            PyErr_SetNone(PyExc_AssertionError);
        }
        return false;
    }
    timeout.when = when == Py_None ? py::Ref() : py::Ref::borrow(when);
    if (!cancel_handler(timeout)) {
        return false;
    }
    if (!timeout.when) {
        return true;
    }
    const py::Ref loop = py::abi::require_running_loop();
    return loop && arm(self, timeout, loop.get());
}

// -1 with an error set.
long cancelling_of(PyObject* task) noexcept {
    if (Py_TYPE(task) == py::state().task_type) [[likely]] {
        return core::cancel_count(task, *core::task_core(task));
    }
    const py::Ref count = py::call_method(task, py::names().cancelling);
    return count ? PyLong_AsLong(count.get()) : -1;
}

// 1 when no request to cancel came beside ours; -1 with an error set.
int uncancel(const Timeout& timeout) noexcept {
    const py::Ref task = timeout.task.clone();
    const py::Ref left = py::call_method(task.get(), py::names().uncancel);
    const long count = left ? PyLong_AsLong(left.get()) : -1;
    return count == -1 && PyErr_Occurred() != nullptr ? -1 : count <= timeout.cancelling ? 1 : 0;
}

bool check_in_block(PyObject* self, const Timeout& timeout) noexcept {
    if (timeout.state == State::entered || timeout.state == State::expiring) {
        return true;
    }
    if (has_state(self)) {
        PyErr_SetNone(PyExc_AssertionError);
    }
    return false;
}

bool is_exception_group(PyObject* error) noexcept {
    const py::Ref builtins = py::Ref::steal(PyImport_ImportModule("builtins"));
    const py::Ref group =
        builtins ? py::Ref::steal(PyObject_GetAttrString(builtins.get(), "ExceptionGroup"))
                 : py::Ref();
    return group && PyObject_IsInstance(error, group.get()) > 0;
}

// The error hides the cancellation in its context: the reader is to find the timeout there.
bool insert_timeout_error(PyObject* self, PyObject* error) noexcept {
    PyObject* const insert = py::names()._insert_timeout_error;
    if (!py::call_method(self, insert, error)) {
        return false;
    }
    if (!is_exception_group(error)) {
        return PyErr_Occurred() == nullptr;
    }
    const py::Ref members = py::Ref::steal(PyObject_GetAttrString(error, "exceptions"));
    const Py_ssize_t count = members ? PyTuple_Size(members.get()) : -1;
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!py::call_method(self, insert, PyTuple_GET_ITEM(members.get(), i))) {
            return false;
        }
    }
    return count >= 0;
}

bool is_cancellation(PyObject* type) noexcept {
    PyObject* const cancelled = py::state().cancelled_error;
    return type == cancelled || (py::state().timeout_rules.takes_subclasses &&
                                 PyErr_GivenExceptionMatches(type, cancelled) != 0);
}

bool leave_expired(PyObject* self, Timeout& timeout, PyObject* type, PyObject* error) noexcept {
    timeout.state = State::expired;
    const int ours = uncancel(timeout);
    if (ours <= 0 || type == nullptr) {
        return ours >= 0;
    }
    if (is_cancellation(type)) {
        raise_timeout(!py::state().timeout_rules.counts_requests ? nullptr
                      : error == nullptr                         ? Py_None
                                                                 : error);
        return false;
    }
    return !py::state().timeout_rules.inserts_error || error == nullptr ||
           insert_timeout_error(self, error);
}

} // namespace

void raise_timeout(PyObject* cause) noexcept {
    py::Ref error = py::call(PyExc_TimeoutError);
    // Who calls __aexit__ by hand can pass anything: `raise ... from` makes an instance of a class.
    const py::Ref instance = cause != nullptr && PyExceptionClass_Check(cause)
                                 ? py::call(cause)
                                 : py::Ref::borrow(cause);
    if (!error || (cause != nullptr && !instance)) {
        return;
    }
    if (instance && instance.get() != Py_None && !PyExceptionInstance_Check(instance.get())) {
        py::raise_type_error("exception causes must derive from BaseException");
        return;
    }
    const bool caused = instance && instance.get() != Py_None;
    if (instance) {
        PyException_SetCause(error.get(), caused ? instance.clone().release() : nullptr);
    }
    // Through the interpreter, which may know of an error that is being handled.
    PyErr_SetObject(PyExc_TimeoutError, error.get());
    if (caused) {
        PyException_SetContext(error.get(), instance.clone().release());
    }
}

py::Ref require_task(PyObject* loop) noexcept {
    py::Ref task = py::abi::current_task(loop);
    if (task == Py_None) {
        py::raise_runtime_error("Timeout should be used inside a task");
        return {};
    }
    return task;
}

py::Ref deadline_after(PyObject* loop, PyObject* delay) noexcept {
    if (delay == Py_None) {
        return py::none();
    }
    const py::Ref now = core::loop_time(loop);
    return now ? py::Ref::steal(PyNumber_Add(now.get(), delay)) : py::Ref();
}

py::Ref make_timeout(PyObject* when) noexcept {
    py::Ref self =
        py::Ref::steal(sync::Slots<Timeout>::create(py::state().timeout_type, nullptr, nullptr));
    if (self) {
        timeout_of(self.get()).state = State::created;
        timeout_of(self.get()).when = when == Py_None ? py::Ref() : py::Ref::borrow(when);
    }
    return self;
}

bool enter_timeout(PyObject* self) noexcept {
    Timeout& timeout = timeout_of(self);
    if (timeout.state != State::created) {
        if (!has_state(self)) {
            return false;
        }
        if (py::state().timeout_rules.checks_entry) {
            py::raise_runtime_error("Timeout has already been entered");
            return false;
        }
    }
    const py::Ref loop = py::abi::require_running_loop();
    py::Ref task = loop ? require_task(loop.get()) : py::Ref();
    if (!task) {
        return false;
    }
    timeout.state = State::entered;
    timeout.task = task.clone();
    timeout.cancelling = py::state().timeout_rules.counts_requests ? cancelling_of(task.get()) : 0;
    if (timeout.cancelling == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    if (Py_TYPE(self) != py::state().timeout_type) {
        return static_cast<bool>(py::call_method(self, py::names().reschedule,
                                                 timeout.when ? timeout.when.get() : Py_None));
    }
    return cancel_handler(timeout) && (!timeout.when || arm(self, timeout, loop.get()));
}

bool exit_timeout(PyObject* self, PyObject* type, PyObject* error) noexcept {
    Timeout& timeout = timeout_of(self);
    if (!check_in_block(self, timeout) || !cancel_handler(timeout)) {
        return false;
    }
    if (timeout.state == State::expiring) {
        return leave_expired(self, timeout, type, error);
    }
    timeout.state = State::exited;
    return true;
}

namespace {

core::Step enter(core::Coroutine& co, py::Ref, py::Ref, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    return enter_timeout(self) ? core::finish_with(result, py::Ref::borrow(self))
                               : core::Step::fail;
}

core::Step leave(core::Coroutine& co, py::Ref, py::Ref, py::Ref& result) noexcept {
    PyObject* const type = co.arguments[1].get();
    PyObject* const error = co.arguments[2].get();
    return exit_timeout(co.arguments[0].get(), type == Py_None ? nullptr : type,
                        error == Py_None ? nullptr : error)
               ? core::finish_with_none(result)
               : core::Step::fail;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Timeout& timeout = timeout_of(args[0]);
    timeout.state = State::created;
    timeout.handler.reset();
    timeout.task.reset();
    timeout.when = args[1] == Py_None ? py::Ref() : py::Ref::borrow(args[1]);
    Py_RETURN_NONE;
}

PyObject* when(py::Function&, PyObject* const* args) noexcept {
    if (timeout_of(args[0]).state == State::missing) {
        return py::raise_no_attribute(args[0], "_when");
    }
    return py::value_or_none(timeout_of(args[0]).when.get());
}

PyObject* reschedule(py::Function&, PyObject* const* args) noexcept {
    return set_deadline(args[0], timeout_of(args[0]), args[1]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* expired(py::Function&, PyObject* const* args) noexcept {
    const State state = timeout_of(args[0]).state;
    if (!has_state(args[0])) {
        return nullptr;
    }
    return PyBool_FromLong(state == State::expiring || state == State::expired);
}

PyObject* on_timeout(py::Function&, PyObject* const* args) noexcept {
    Timeout& timeout = timeout_of(args[0]);
    if (timeout.state != State::entered) {
        if (has_state(args[0])) {
            PyErr_SetNone(PyExc_AssertionError);
        }
        return nullptr;
    }
    const py::Ref task = timeout.task.clone();
    if (Py_TYPE(task.get()) == py::state().task_type) [[likely]] {
        if (core::task_cancel(task.get(), Py_None) < 0) {
            return nullptr;
        }
    } else if (!py::call_method(task.get(), py::names().cancel)) {
        return nullptr;
    }
    timeout.state = State::expiring;
    timeout.handler.reset();
    Py_RETURN_NONE;
}

PyObject* timeout_function(py::Function&, PyObject* const* args) noexcept {
    const py::Ref loop = py::abi::require_running_loop();
    const py::Ref deadline = loop ? deadline_after(loop.get(), args[0]) : py::Ref();
    return deadline ? make_timeout(deadline.get()).release() : nullptr;
}

PyObject* timeout_at_function(py::Function&, PyObject* const* args) noexcept {
    return make_timeout(args[0]).release();
}

const py::FunctionRow kMethods[] = {
    {"__init__", init},
    {"when", when},
    {"reschedule", reschedule},
    {"expired", expired},
    {"_on_timeout", on_timeout},
    core::async_row("__aenter__", enter),
    core::async_row("__aexit__", leave),
    {nullptr, nullptr},
};

const py::FunctionRow kFunctions[] = {
    {"timeout", timeout_function},
    {"timeout_at", timeout_at_function},
    {nullptr, nullptr},
};

PyObject* get_state(PyObject* self, void*) noexcept {
    if (!has_state(self)) {
        return nullptr;
    }
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("asyncio.timeouts"));
    const py::Ref states =
        module ? py::Ref::steal(PyObject_GetAttrString(module.get(), "_State")) : py::Ref();
    return states ? PyObject_GetAttrString(states.get(), name_of(timeout_of(self).state).name)
                  : nullptr;
}

int set_state(PyObject* self, PyObject* value, void*) noexcept {
    const py::Ref name = value == nullptr ? py::Ref() : py::get_attr(value, py::names().name);
    for (std::size_t i = 1; name && i != kStates.size(); ++i) {
        if (PyUnicode_Check(name.get()) &&
            PyUnicode_CompareWithASCIIString(name.get(), kStates.at(i).name) == 0) {
            timeout_of(self).state = static_cast<State>(i);
            return 0;
        }
    }
    if (PyErr_Occurred() == nullptr) {
        py::raise_value_error("no state of a Timeout");
    }
    return -1;
}

PyObject* get_cancelling(PyObject* self, void*) noexcept {
    return PyLong_FromLong(timeout_of(self).cancelling);
}

int set_cancelling(PyObject* self, PyObject* value, void*) noexcept {
    const long number = value == nullptr ? 0 : PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred() != nullptr) {
        return -1;
    }
    timeout_of(self).cancelling = number;
    return 0;
}

PyGetSetDef kProperties[] = {
    {"_state", get_state, set_state, nullptr, nullptr},
    sync::optional_property<Timeout, &Timeout::handler>("_timeout_handler"),
    sync::optional_property<Timeout, &Timeout::task>("_task"),
    sync::optional_property<Timeout, &Timeout::when>("_when"),
    {"_cancelling", get_cancelling, set_cancelling, nullptr, nullptr},
    {"__dict__", sync::get_dict, sync::set_dict, nullptr, kProperties},
    sync::kEndOfProperties,
};

} // namespace

bool make_timeout_type(PyObject* module) noexcept {
    py::State& state = py::state();
    const char* const stock = "asyncio.timeouts";
    state.timeout_rules.counts_requests =
        py::twin_mentions("asyncio.timeouts", "Timeout.__aexit__", "_cancelling");
    state.timeout_rules.checks_entry =
        py::twin_mentions("asyncio.timeouts", "Timeout.__aenter__", "CREATED");
    state.timeout_rules.takes_subclasses =
        py::twin_mentions(stock, "Timeout.__aexit__", "issubclass");
    state.timeout_rules.inserts_error =
        py::twin_mentions(stock, "Timeout.__aexit__", "_insert_timeout_error");
    sync::PrimitiveRecipe recipe = {"bucle.Timeout", "asyncio.Timeout, native.", stock};
    recipe.functions = kMethods;
    recipe.getset = kProperties;
    state.timeout_type = sync::make_primitive<Timeout>(module, recipe);
    if (state.timeout_type == nullptr) {
        return false;
    }
    state.timeout_expire =
        PyObject_GetAttrString(reinterpret_cast<PyObject*>(state.timeout_type), "_on_timeout");
    return state.timeout_expire != nullptr && py::add_module_functions(module, stock, kFunctions);
}

} // namespace bucle::combine
