// See sock.hpp.
#include "net/sock.hpp"

#include "net/net.hpp"

#include "loop/loop.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::net {
namespace {

loop::Side side_of(const core::Coroutine& co) noexcept {
    return co.stage == kToRead ? loop::Side::reader : loop::Side::writer;
}

// The first time it wakes the coroutine. When the descriptor is ready again before that has run, or
// when it was cancelled, nothing is left to say: a level-triggered descriptor must not spin.
bool on_ready(PyObject* owner) noexcept {
    auto& co = *reinterpret_cast<core::Coroutine*>(owner);
    PyObject* const future = co.waiting.get();
    if (future != nullptr && core::is_exact_future(future)) {
        core::FutureCore& fields = *core::future_core(future);
        if (fields.pending()) {
            return core::future_set_result(future, fields, Py_None);
        }
    }
    if (co.arguments[0] && co.kept) {
        loop::unwatch(*loop::loop_core(co.arguments[0].get()), co.number, side_of(co),
                      co.kept.get());
    }
    return true;
}

// Watches the descriptor that the socket has now, unless that is done already.
bool watch_socket(core::Coroutine& co, Stage side, const char* name) noexcept {
    PyObject* const loop = co.arguments[0].get();
    const py::Ref number = fileno_of(co.arguments[1].get());
    const int fd = number ? loop::free_descriptor(loop, number.get()) : -1;
    if (fd < 0) {
        return false;
    }
    if (co.kept && co.number == fd && co.stage == side && loop::is_watched(co.kept.get())) {
        return true;
    }
    end_waiting(co);
    co.stage = side;
    py::Ref readiness = loop::make_readiness(reinterpret_cast<PyObject*>(&co), on_ready, name);
    if (!readiness || !loop::watch(*loop::loop_core(loop), fd, side_of(co), readiness.get())) {
        return false;
    }
    co.kept = std::move(readiness);
    co.number = fd;
    return true;
}

} // namespace

PyObject* make_sock_coroutine(py::Function& function, PyObject* const* args) noexcept {
    const int foreign = loop::watches_otherwise(args[0]);
    if (foreign != 0) [[unlikely]] {
        return foreign < 0 ? nullptr
                           : PyObject_Vectorcall(function.twin, args, function.positional, nullptr);
    }
    if (function.positional <= core::Coroutine::kArguments) {
        return core::make_coroutine(function, args);
    }
    const py::Ref others = py::Ref::steal(PyTuple_Pack(2, args[2], args[3]));
    PyObject* const packed[] = {args[0], args[1], others.get()};
    return others ? core::make_coroutine(function, packed) : nullptr;
}

bool check_socket(const core::Coroutine& co) noexcept {
    const py::State& state = py::state();
    PyObject* const sock = co.arguments[1].get();
    if (!is_plain_socket(sock)) {
        const py::Ref check = py::get_attr(state.base_events, state.names._check_ssl_socket);
        if (!check || !py::call(check.get(), sock)) {
            return false;
        }
    }
    if (!loop::loop_core(co.arguments[0].get())->debug()) [[likely]] {
        return true;
    }
    const py::Ref timeout = py::call_method(sock, state.names.gettimeout);
    const int waits = timeout ? PyObject_RichCompareBool(timeout.get(), state.zero, Py_NE) : -1;
    if (waits > 0) {
        py::raise_value_error("the socket must be non-blocking");
    }
    return waits == 0;
}

core::Step wait_until_ready(core::Coroutine& co, Stage side, const char* name) noexcept {
    py::Ref future = core::make_future(co.arguments[0].get());
    if (!future || !watch_socket(co, side, name)) {
        end_waiting(co);
        return core::Step::fail;
    }
    return co.wait(std::move(future), side);
}

void end_waiting(core::Coroutine& co) noexcept {
    const py::Ref readiness = std::move(co.kept);
    if (readiness) {
        loop::unwatch(*loop::loop_core(co.arguments[0].get()), co.number, side_of(co),
                      readiness.get());
        loop::disown(readiness.get());
    }
}

bool add_sock_methods() noexcept {
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("asyncio.selector_events"));
    const py::Ref stock =
        module ? py::Ref::steal(PyObject_GetAttrString(module.get(), "BaseSelectorEventLoop"))
               : py::Ref();
    PyTypeObject* const type = py::state().loop_type;
    return stock && find_plain_sockets() &&
           py::add_functions(type, stock.get(), receiving_functions) &&
           py::add_functions(type, stock.get(), sending_functions) &&
           py::add_functions(type, stock.get(), connecting_functions);
}

} // namespace bucle::net
