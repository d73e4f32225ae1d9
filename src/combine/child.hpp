// What the combinators ask of the futures that they wait for: of native ones by their fields, of
// all others (a user's subclass, asyncio's own, a duck) by asyncio's names.
#pragma once

#include "core/future.hpp"

namespace bucle::combine {

// 1, 0, or -1 with an error set.
[[nodiscard]] int is_done(PyObject* future) noexcept;
[[nodiscard]] int is_cancelled(PyObject* future) noexcept;

// future.exception() and future.result() of one that is done: what they give counts as retrieved.
py::Ref exception_of(PyObject* future) noexcept;
py::Ref result_of(PyObject* future) noexcept;
// future._make_cancelled_error()
py::Ref cancelled_error_of(PyObject* future) noexcept;
// Its exception, if it has one, was seen.
[[nodiscard]] bool mark_retrieved(PyObject* future) noexcept;

// The graph of who awaits whom (3.14 and later). `waiter`: a task, or null for nobody.
[[nodiscard]] bool add_edge(PyObject* future, PyObject* waiter) noexcept;
[[nodiscard]] bool drop_edge(PyObject* future, PyObject* waiter) noexcept;
// The task that runs in `loop`, where asyncio keeps the graph; null for nobody. False: an error.
[[nodiscard]] bool find_waiter(PyObject* loop, py::Ref& waiter) noexcept;

// asyncio.get_running_loop() and get_event_loop(); null with an error set.
py::Ref running_loop() noexcept;
py::Ref event_loop() noexcept;

// loop.create_future()
py::Ref create_future(PyObject* loop) noexcept;

// asyncio.ensure_future(object, loop=loop); `loop` may be null.
py::Ref ensure_future(PyObject* object, PyObject* loop) noexcept;

// Raises with the name of the object's class in the text.
void raise_with_type(PyObject* error, const char* format, PyObject* object) noexcept;

// asyncio.isfuture() or iscoroutine(): what wait() and as_completed() refuse in place of several.
[[nodiscard]] int is_future_or_coroutine(PyObject* object) noexcept;
[[nodiscard]] int is_coroutine(PyObject* object) noexcept;

} // namespace bucle::combine
