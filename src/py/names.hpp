// Every attribute and keyword name that native code looks up, interned once per interpreter.
#pragma once

#include "py/ref.hpp"

// clang-format off: one name a line
#define BUCLE_NAMES(X) \
    X(__class__) \
    X(__del__) \
    X(__dict__) \
    X(__module__) \
    X(__name__) \
    X(_abort) \
    X(_add_reader) \
    X(_add_writer) \
    X(_aexit) \
    X(_asyncgen_finalizer_hook) \
    X(_asyncgen_firstiter_hook) \
    X(_asyncio_future_blocking) \
    X(_attach) \
    X(_call_connection_lost) \
    X(_check_ssl_socket) \
    X(_close_resources) \
    X(_detach) \
    X(_drain_helper) \
    X(_ensure_fd_no_transport) \
    X(_ensure_resolved) \
    X(_exception) \
    X(_format) \
    X(_get) \
    X(_get_close_waiter) \
    X(_get_loop) \
    X(_init) \
    X(_insert_timeout_error) \
    X(_is_base_error) \
    X(_loop) \
    X(_on_task_done) \
    X(_on_timeout) \
    X(_put) \
    X(_remove_reader) \
    X(_result) \
    X(_set_task_name) \
    X(_source_traceback) \
    X(_start_reading) \
    X(_state) \
    X(_timer_handle_cancelled) \
    X(_transports) \
    X(_waiters) \
    X(_wake_up_first) \
    X(_wake_up_next) \
    X(_wakeup_next) \
    X(accept) \
    X(acquire) \
    X(add) \
    X(add_done_callback) \
    X(append) \
    X(buffer_updated) \
    X(call_at) \
    X(call_exception_handler) \
    X(call_later) \
    X(call_soon) \
    X(call_soon_threadsafe) \
    X(can_write_eof) \
    X(cancel) \
    X(cancelled) \
    X(cancelling) \
    X(clear) \
    X(close) \
    X(connect) \
    X(connection_lost) \
    X(connection_made) \
    X(consumed) \
    X(context) \
    X(coro) \
    X(create_future) \
    X(create_task) \
    X(data_received) \
    X(datagram_received) \
    X(discard) \
    X(done) \
    X(eager_start) \
    X(empty) \
    X(eof_received) \
    X(error_received) \
    X(exception) \
    X(extend) \
    X(family) \
    X(feed_data) \
    X(feed_eof) \
    X(fileno) \
    X(finalizer) \
    X(find) \
    X(firstiter) \
    X(full) \
    X(future) \
    X(get_buffer) \
    X(get_debug) \
    X(get_extra_info) \
    X(get_loop) \
    X(get_nowait) \
    X(getaddrinfo) \
    X(getpeername) \
    X(getsockname) \
    X(getsockopt) \
    X(gettimeout) \
    X(handle) \
    X(is_closed) \
    X(is_closing) \
    X(is_running) \
    X(join) \
    X(locked) \
    X(loop) \
    X(message) \
    X(msg) \
    X(name) \
    X(notify_all) \
    X(partial) \
    X(pause_reading) \
    X(pause_writing) \
    X(peername) \
    X(pipe) \
    X(pop) \
    X(popleft) \
    X(proto) \
    X(protocol) \
    X(put_nowait) \
    X(qsize) \
    X(read) \
    X(readexactly) \
    X(readuntil) \
    X(recv) \
    X(recv_into) \
    X(recvfrom) \
    X(recvfrom_into) \
    X(release) \
    X(remove) \
    X(remove_done_callback) \
    X(remove_reader) \
    X(remove_writer) \
    X(reschedule) \
    X(result) \
    X(resume_reading) \
    X(resume_writing) \
    X(run_forever) \
    X(run_in_executor) \
    X(send) \
    X(sendto) \
    X(set) \
    X(set_exception) \
    X(set_name) \
    X(set_result) \
    X(set_running_or_notify_cancel) \
    X(set_transport) \
    X(setblocking) \
    X(socket) \
    X(sockname) \
    X(source) \
    X(source_traceback) \
    X(sslcontext) \
    X(startswith) \
    X(submit) \
    X(task) \
    X(time) \
    X(transport) \
    X(type) \
    X(uncancel) \
    X(wait) \
    X(warn_on_full_buffer) \
    X(write) \
    X(write_eof) \
    X(writelines)
// clang-format on

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
