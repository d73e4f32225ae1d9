// Every attribute and keyword name that native code looks up, interned once per interpreter.
#pragma once

#include "py/ref.hpp"

#define BUCLE_NAMES(X)                                                                             \
    X(__await__)                                                                                   \
    X(__name__)                                                                                    \
    X(__class__)                                                                                   \
    X(_asyncio_future_blocking)                                                                    \
    X(_asyncio_awaited_by)                                                                         \
    X(_asyncgen_finalizer_hook)                                                                    \
    X(_asyncgen_firstiter_hook) X(_callback) X(_close_resources) X(_context) X(_loop)              \
        X(_source_traceback) X(_timer_handle_cancelled) X(add_done_callback)                       \
            X(call_exception_handler) X(call_soon) X(cancel) X(context) X(coro) X(eager_start)     \
                X(exception) X(fileno) X(finalizer) X(firstiter) X(future) X(get_debug)            \
                    X(get_loop) X(handle) X(is_running) X(loop) X(message) X(msg) X(name)          \
                        X(result) X(set_name) X(source_traceback) X(task) X(task_factory) X(time)  \
                            X(warn_on_full_buffer) X(source) X(remove_done_callback) X(done)       \
                                X(_transports) X(is_closing) X(close) X(create_future)             \
                                    X(create_task) X(call_at) X(call_later) X(run_forever)         \
                                        X(_ensure_fd_no_transport)

namespace bucle::py {

struct Names {
#define BUCLE_DECLARE(name) PyObject* name = nullptr;
    BUCLE_NAMES(BUCLE_DECLARE)
#undef BUCLE_DECLARE
    PyObject* throw_ = nullptr; // "throw", a keyword of C++
    // Tuples of keyword names for vectorcalls.
    PyObject* kw_context = nullptr;
    PyObject* kw_msg = nullptr;
    PyObject* kw_source = nullptr;

    [[nodiscard]] bool intern() noexcept;
};

} // namespace bucle::py
