// sleep: one turn of the loop when there is nothing to wait for, else a future and a timer.
#include "combine/combine.hpp"
#include "combine/delay.hpp"
#include "core/coroutine.hpp"
#include "core/handle.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cmath>

namespace bucle::combine {
namespace {

enum Stage : std::uint8_t { kStart, kYielded, kWaited };

// asyncio refuses NaN from 3.13 on; before, its timer is due at once.
bool check_number(PyObject* delay) noexcept {
    if (!py::state().sleep_refuses_nan) {
        return true;
    }
    const double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    if (std::isnan(seconds)) {
        py::raise_value_error("Invalid delay: NaN (not a number)");
        return false;
    }
    return true;
}

core::Step start_timer(core::Coroutine& co) noexcept {
    const py::Ref loop = py::abi::require_running_loop();
    py::Ref future = loop ? core::make_future(loop.get()) : py::Ref();
    if (!future) {
        return core::Step::fail;
    }
    co.kept =
        py::call_method(loop.get(), py::names().call_later, co.arguments[0].get(),
                        py::state().set_unless_cancelled, future.get(), co.arguments[1].get());
    return co.kept ? co.wait(std::move(future), kWaited) : core::Step::fail;
}

core::Step sleep(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    switch (co.stage) {
    case kStart: {
        const int over = is_over(co.arguments[0].get());
        if (over != 0) {
            return over > 0 ? co.yield(kYielded) : core::Step::fail;
        }
        return check_number(co.arguments[0].get()) ? start_timer(co) : core::Step::fail;
    }
    case kYielded:
        value = std::move(co.arguments[1]);
        break;
    default:
        if (!core::cancel_any_handle(co.kept.get())) {
            return core::fail_after(std::move(error));
        }
    }
    return error ? core::fail_with(std::move(error)) : core::finish_with(result, std::move(value));
}

PyObject* set_result_unless_cancelled(py::Function&, PyObject* const* args) noexcept {
    core::FutureCore* const future =
        core::is_exact_future(args[0]) ? core::future_core(args[0]) : nullptr;
    if (future == nullptr) {
        const int truth = py::truth_of(py::call_method(args[0], py::names().cancelled));
        return truth != 0 ? (truth < 0 ? nullptr : py::new_ref(Py_None))
                          : py::call_method(args[0], py::names().set_result, args[1]).release();
    }
    if (future->state == core::FutureState::cancelled) {
        Py_RETURN_NONE;
    }
    return core::future_set_result(args[0], *future, args[1]) ? py::new_ref(Py_None) : nullptr;
}

} // namespace

bool add_sleep(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {core::async_row("sleep", sleep), {nullptr, nullptr}};
    static const py::FunctionRow kCallbacks[] = {
        {"_set_result_unless_cancelled", set_result_unless_cancelled}, {nullptr, nullptr}};
    py::State& state = py::state();
    state.sleep_refuses_nan = py::twin_mentions("asyncio.tasks", "sleep", "isnan");
    if (!py::add_module_functions(module, "asyncio.tasks", kRows) ||
        !py::add_module_functions(module, "asyncio.futures", kCallbacks)) {
        return false;
    }
    state.set_unless_cancelled = PyObject_GetAttrString(module, "_set_result_unless_cancelled");
    return state.set_unless_cancelled != nullptr;
}

} // namespace bucle::combine
