// What the combinators do with the futures that they are given, and with their loops, beside what
// core/any_future.hpp has.
#pragma once

#include "core/any_future.hpp"

namespace bucle::combine {

// The graph of who awaits whom (3.14 and later). `waiter`: a task, or null for nobody.
[[nodiscard]] bool add_edge(PyObject* future, PyObject* waiter) noexcept;
[[nodiscard]] bool drop_edge(PyObject* future, PyObject* waiter) noexcept;
// The task that runs in `loop`, where asyncio keeps the graph; null for nobody. False: an error.
[[nodiscard]] bool find_waiter(PyObject* loop, py::Ref& waiter) noexcept;

// asyncio.get_event_loop(); null with an error set.
py::Ref event_loop() noexcept;

// Keeps what call_later() of anybody's loop gave: nothing where that is None. False: an error is
// set.
[[nodiscard]] bool keep_timer(py::Ref& place, py::Ref handle) noexcept;

// _release_waiter(waiter), of a native future.
[[nodiscard]] bool release(PyObject* waiter) noexcept;

// asyncio.ensure_future(object, loop=loop); `loop` may be null.
py::Ref ensure_future(PyObject* object, PyObject* loop) noexcept;

// Raises with the name of the object's class in the text.
void raise_with_type(PyObject* error, const char* format, PyObject* object) noexcept;

// asyncio.isfuture() or iscoroutine(): what wait() and as_completed() refuse in place of several.
[[nodiscard]] int is_future_or_coroutine(PyObject* object) noexcept;
[[nodiscard]] int is_coroutine(PyObject* object) noexcept;

} // namespace bucle::combine
