// Event: a flag that tasks wait for. set() wakes all who wait, and they are through even when it is
// cleared before they run.
#include "sync/sync.hpp"
#include "sync/waiting.hpp"

namespace bucle::sync {
namespace {

constexpr const char* kValue = "_value";

struct Event : Waiting {
    Flag value;
};

Event& event_of(PyObject* self) noexcept {
    return core_of<Event>(self);
}

core::Step wait(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Event& event = event_of(self);
    if (co.stage == 0) {
        if (event.value.on()) {
            return core::finish_with(result, py::Ref::borrow(Py_True));
        }
        if (event.value.missing()) {
            py::raise_no_attribute(self, kValue);
            return core::Step::fail;
        }
        py::Ref waiter = make_waiter(self, event.loop);
        if (!waiter || !event.waiters.push_back(waiter.get())) {
            return core::Step::fail;
        }
        co.kept = waiter.clone();
        return co.wait(std::move(waiter), 1);
    }
    if (!event.waiters.remove(co.kept.get())) {
        return core::fail_after(std::move(error));
    }
    return error ? core::fail_with(std::move(error))
                 : core::finish_with(result, py::Ref::borrow(Py_True));
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Event& event = event_of(args[0]);
    event.value = false;
    event.waiters.clear();
    Py_RETURN_NONE;
}

PyObject* is_set(py::Function&, PyObject* const* args) noexcept {
    return detail::show(args[0], event_of(args[0]).value, kValue);
}

PyObject* set(py::Function&, PyObject* const* args) noexcept {
    Event& event = event_of(args[0]);
    if (!event.value.on()) {
        if (event.value.missing()) {
            return py::raise_no_attribute(args[0], kValue);
        }
        event.value = true;
        const int failed = event.waiters.for_each([](PyObject* waiter) noexcept {
            const int done = core::is_done(waiter);
            return done < 0 || (done == 0 && !core::set_result_of(waiter, Py_True)) ? -1 : 0;
        });
        if (failed != 0) {
            return nullptr;
        }
    }
    Py_RETURN_NONE;
}

PyObject* clear(py::Function&, PyObject* const* args) noexcept {
    event_of(args[0]).value = false;
    Py_RETURN_NONE;
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Event& event = event_of(args[0]);
    return primitive_repr(args[0], describe(args[0], event.value, kValue, "set", "unset"),
                          event.waiters.size());
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init}, {"__repr__", repr}, {"is_set", is_set},
    {"set", set},       {"clear", clear},   core::async_row("wait", wait),
    {nullptr, nullptr},
};

PyGetSetDef kAttributes[] = {
    property<Event, &Event::waiters>("_waiters"),
    property<Event, &Event::value>(kValue),
    optional_property<Event, &Event::loop>("_loop"),
    {"__dict__", get_dict, set_dict, nullptr, kAttributes},
    kEndOfProperties,
};

} // namespace

bool make_event_type(PyObject* module) noexcept {
    PrimitiveRecipe recipe = {"bucle.Event", "asyncio.Event, native.", "asyncio.locks"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    return (py::state().event_type = make_primitive<Event>(module, recipe)) != nullptr;
}

} // namespace bucle::sync
