// What happens to a StreamReaderProtocol: its connection is made, fed, paused, lost. Once as its
// methods, once as the sink by which a native transport reaches it.
#include "streams/protocol.hpp"

#include "core/any_future.hpp"
#include "core/future.hpp"
#include "core/observer.hpp"
#include "core/scheduler.hpp"
#include "net/sink.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "streams/reader.hpp"
#include "streams/writer.hpp"

namespace bucle::streams {
namespace {

// transport.close(), the answer to a client task that failed.
bool close_transport(PyObject* transport) noexcept {
    return static_cast<bool>(py::call_method(transport, py::names().close));
}

bool report_client(PyObject* self, PyObject* error, PyObject* transport) noexcept {
    const py::Names& names = py::names();
    const py::Ref loop = py::Ref::steal(py::value_or_none(protocol_of(self).loop.get()));
    return core::report_to_loop(
               loop.get(),
               py::Ref::steal(PyUnicode_FromString("Unhandled exception in client_connected_cb")),
               {{names.exception, error}, {names.transport, transport}}) &&
           close_transport(transport);
}

// The task of a server's client is done; `owner` is (protocol, transport).
bool client_done(PyObject* owner, PyObject* task) noexcept {
    const py::Ref hold = py::Ref::borrow(owner);
    PyObject* const transport = PyTuple_GET_ITEM(owner, 1);
    if (py::state().stream_rules.closes_cancelled) {
        const int cancelled = core::is_cancelled(task);
        if (cancelled != 0) {
            return cancelled > 0 && close_transport(transport);
        }
    }
    const py::Ref error = py::call_method(task, py::names().exception);
    return error && (error.get() == Py_None ||
                     report_client(PyTuple_GET_ITEM(owner, 0), error.get(), transport));
}

bool start_client(PyObject* self, PyObject* coroutine, PyObject* transport) noexcept {
    Protocol& protocol = protocol_of(self);
    const py::Ref loop = py::Ref::steal(py::value_or_none(protocol.loop.get()));
    const py::Ref owner = py::Ref::steal(PyTuple_Pack(2, self, transport));
    const py::Ref observer =
        owner ? core::make_observer(owner.get(), client_done,
                                    "StreamReaderProtocol.connection_made.<locals>.callback")
              : py::Ref();
    const py::Ref task =
        observer ? py::call_method(loop.get(), py::names().create_task, coroutine) : py::Ref();
    protocol.task = task.clone();
    return task && core::observe(task.get(), observer.get());
}

// Calls client_connected_cb, and makes a task of it if it is a coroutine function.
bool meet_client(PyObject* self, PyObject* reader, PyObject* transport) noexcept {
    Protocol& protocol = protocol_of(self);
    const py::Ref loop = py::Ref::steal(py::value_or_none(protocol.loop.get()));
    const py::Ref callback = protocol.client_connected_cb.clone();
    const py::Ref writer = make_writer(transport, self, reader, loop.get());
    if (!writer) {
        return false;
    }
    if (py::state().stream_rules.keeps_writer) {
        protocol.writer = writer.clone();
    }
    const py::Ref answer =
        py::call(callback.get(), reader == nullptr ? Py_None : reader, writer.get());
    if (!answer) {
        if (!py::state().stream_rules.catches_callback ||
            !PyErr_ExceptionMatches(PyExc_Exception)) {
            return false;
        }
        const py::Ref error = py::compat::take_exception();
        if (!report_client(self, error.get(), transport)) {
            return false;
        }
    } else {
        const int wanted = core::is_coroutine(answer.get());
        if (wanted < 0 || (wanted > 0 && !start_client(self, answer.get(), transport))) {
            return false;
        }
    }
    protocol.strong_reader.reset();
    return true;
}

bool is_over_ssl(PyObject* transport, bool& over_ssl) noexcept {
    const py::Names& names = py::names();
    const py::Ref context = py::call_method(transport, names.get_extra_info, names.sslcontext);
    over_ssl = context && context.get() != Py_None;
    return static_cast<bool>(context);
}

bool settle(PyObject* future, PyObject* error) noexcept {
    return error == Py_None ? core::set_result_of(future, Py_None)
                            : core::set_exception_of(future, error);
}

bool settle_if_pending(PyObject* future, PyObject* error) noexcept {
    const int done = core::is_done(future);
    return done > 0 || (done == 0 && settle(future, error));
}

bool settle_drain_waiters(Protocol& protocol, PyObject* error) noexcept {
    return protocol.drain_waiters.for_each([error](PyObject* waiter) noexcept {
        return settle_if_pending(waiter, error) ? 0 : -1;
    }) == 0;
}

} // namespace

py::Ref reader_of_protocol(PyObject* self) noexcept {
    const py::Ref reference = protocol_of(self).reader.clone();
    if (!reference) {
        return {};
    }
    if (PyWeakref_CheckRefExact(reference.get())) [[likely]] {
        return py::compat::weak_target(reference.get());
    }
    py::Ref reader = py::call(reference.get());
    return reader && reader.get() == Py_None ? py::Ref() : std::move(reader);
}

bool connection_made(PyObject* self, PyObject* transport) noexcept {
    Protocol& protocol = protocol_of(self);
    protocol.transport = py::Ref::borrow(transport);
    const py::Ref reader = reader_of_protocol(self);
    if (reader ? !set_transport(reader.get(), transport) : PyErr_Occurred() != nullptr) {
        return false;
    }
    return is_over_ssl(transport, protocol.over_ssl) &&
           (!protocol.client_connected_cb || meet_client(self, reader.get(), transport));
}

bool connection_lost(PyObject* self, PyObject* error) noexcept {
    Protocol& protocol = protocol_of(self);
    const py::Ref reader = reader_of_protocol(self);
    if (reader) {
        if (!(error == Py_None ? feed_eof(reader.get()) : set_exception(reader.get(), error))) {
            return false;
        }
    } else if (PyErr_Occurred() != nullptr) {
        return false;
    }
    const py::Ref closed = py::Ref::steal(py::value_or_none(protocol.closed.get()));
    if (!settle_if_pending(closed.get(), error)) {
        return false;
    }
    protocol.connection_lost = true;
    if (protocol.paused && !settle_drain_waiters(protocol, error)) {
        return false;
    }
    protocol.reader.reset();
    protocol.writer.reset();
    protocol.task.reset();
    protocol.transport.reset();
    return true;
}

bool eof_received(PyObject* self, bool& keep_open) noexcept {
    const py::Ref reader = reader_of_protocol(self);
    if (reader ? !feed_eof(reader.get()) : PyErr_Occurred() != nullptr) {
        return false;
    }
    // To answer true over TLS is warned of: it has no effect there.
    keep_open = !protocol_of(self).over_ssl;
    return true;
}

bool set_paused(PyObject* self, bool paused) noexcept {
    Protocol& protocol = protocol_of(self);
    if (protocol.paused == paused) {
        PyErr_SetNone(PyExc_AssertionError);
        return false;
    }
    protocol.paused = paused;
    return paused || settle_drain_waiters(protocol, Py_None);
}

namespace {

bool sink_data(PyObject* self, const char* data, std::size_t size) noexcept {
    const py::Ref reader = reader_of_protocol(self);
    return reader ? feed(reader.get(), data, size) : PyErr_Occurred() == nullptr;
}

bool sink_bytes(PyObject* self, PyObject* data) noexcept {
    const py::Ref reader = reader_of_protocol(self);
    return reader ? feed_bytes(reader.get(), data) : PyErr_Occurred() == nullptr;
}

// By the method in debug mode, which logs it.
bool sink_flow(PyObject* self, bool paused) noexcept {
    const py::Ref loop = py::Ref::steal(py::value_or_none(protocol_of(self).loop.get()));
    bool failed = false;
    const bool debug = core::debug_of(loop.get(), failed);
    if (failed) {
        return false;
    }
    if (!debug) [[likely]] {
        return set_paused(self, paused);
    }
    const py::Names& names = py::names();
    return static_cast<bool>(
        py::call_method(self, paused ? names.pause_writing : names.resume_writing));
}

bool sink_pause(PyObject* self) noexcept {
    return sink_flow(self, true);
}

bool sink_resume(PyObject* self) noexcept {
    return sink_flow(self, false);
}

constexpr net::Sink kSink = {sink_data, sink_bytes, eof_received, sink_pause, sink_resume};

} // namespace

void find_protocol_rules() noexcept {
    constexpr const char* kMade = "StreamReaderProtocol.connection_made";
    py::StreamRules& rules = py::state().stream_rules;
    rules.keeps_writer = py::twin_mentions("asyncio.streams", kMade, "_stream_writer");
    rules.catches_callback = py::twin_mentions("asyncio.streams", kMade, "Exception");
    rules.closes_cancelled = py::twin_mentions(
        "asyncio.streams", "StreamReaderProtocol.connection_made.callback", "cancelled");
}

void offer_protocol_sink() noexcept {
    net::offer_sink(py::state().stream_protocol_type, kSink);
}

} // namespace bucle::streams
