// A future of anybody's, as native code asks and tells it: a native one by its fields, all others
// (a user's subclass, asyncio's own, a duck) by asyncio's names.
#pragma once

#include "core/future.hpp"

namespace bucle::core {

namespace detail {
int ask_done(PyObject* future) noexcept;
int ask_cancelled(PyObject* future) noexcept;
} // namespace detail

// 1, 0, or -1 with an error set.
[[nodiscard]] inline int is_done(PyObject* future) noexcept {
    if (is_exact_native(future)) [[likely]] {
        return future_core(future)->pending() ? 0 : 1;
    }
    return detail::ask_done(future);
}
[[nodiscard]] inline int is_cancelled(PyObject* future) noexcept {
    if (is_exact_native(future)) [[likely]] {
        return future_core(future)->state == FutureState::cancelled ? 1 : 0;
    }
    return detail::ask_cancelled(future);
}

// loop.create_future(); a null `loop` is None.
py::Ref create_future(PyObject* loop) noexcept;

// future.exception() and future.result() of one that is done: what they give counts as retrieved.
py::Ref exception_of(PyObject* future) noexcept;
py::Ref result_of(PyObject* future) noexcept;
// future._make_cancelled_error()
py::Ref cancelled_error_of(PyObject* future) noexcept;
// Its exception, if it has one, was seen.
[[nodiscard]] bool mark_retrieved(PyObject* future) noexcept;

// future.set_result(value), future.set_exception(error)
[[nodiscard]] bool set_result_of(PyObject* future, PyObject* value) noexcept;
[[nodiscard]] bool set_exception_of(PyObject* future, PyObject* error) noexcept;

} // namespace bucle::core
