// loop.sock_*: what their files share. Each is a coroutine that tries its call and, as long as that
// would block, waits until the descriptor is ready and tries again itself.
//
// asyncio makes the call in the callback of the descriptor and hands the outcome to whoever waits,
// a turn later. Here the callback only says that it is time. So nothing is taken from a socket for
// an operation that was cancelled meanwhile: no data are lost, no connection is.
#pragma once

#include "core/coroutine.hpp"
#include "loop/readiness.hpp"
#include "net/plain_socket.hpp"

namespace bucle::net {

// Of every such coroutine. arguments: the loop, the socket, and what else was given (a tuple where
// that is more than one); kept: the Readiness; number: the descriptor that it watches.
enum Stage : std::uint8_t { kStart, kToRead, kToWrite, kFirstOwnStage };

// A method whose body is such a coroutine. On a loop that makes futures or watches descriptors in
// another way it is asyncio's own.
PyObject* make_sock_coroutine(py::Function& function, PyObject* const* args) noexcept;

inline py::FunctionRow sock_row(const char* name, core::Body body) noexcept {
    return {name, make_sock_coroutine, reinterpret_cast<void*>(body)};
}

// Refuses what asyncio refuses: TLS sockets, blocking ones in debug mode.
[[nodiscard]] bool check_socket(const core::Coroutine& co) noexcept;

// To be returned by a body: goes on at `side` when the socket is ready.
core::Step wait_until_ready(core::Coroutine& co, Stage side, const char* name) noexcept;
// Ends the watching, if there is any. The error that is set, if any, stays.
void end_waiting(core::Coroutine& co) noexcept;

// The body of an operation with a name, a side and a call to try: attempt(co, sock, result).
template <class Operation>
core::Step operate(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (error) {
        end_waiting(co);
        return core::fail_with(std::move(error));
    }
    if (co.stage == kStart && !check_socket(co)) {
        return core::Step::fail;
    }
    const Outcome outcome = Operation::attempt(co, co.arguments[1].get(), result);
    if (outcome == Outcome::blocked) {
        return wait_until_ready(co, Operation::kSide, Operation::kName);
    }
    end_waiting(co);
    return outcome == Outcome::done ? core::Step::finish : core::Step::fail;
}

extern const py::FunctionRow receiving_functions[];
extern const py::FunctionRow sending_functions[];
extern const py::FunctionRow connecting_functions[];

} // namespace bucle::net
