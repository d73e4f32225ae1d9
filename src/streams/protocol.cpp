// StreamReaderProtocol: what Python sees of it, drain, and making the type.
#include "streams/protocol.hpp"

#include "core/any_future.hpp"
#include "core/awaiting.hpp"
#include "core/scheduler.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "streams/reader.hpp"
#include "streams/streams.hpp"
#include "sync/waiting.hpp"

namespace bucle::streams {
namespace {

using py::none_if;

// asyncio's reader has the trace of where it was made, if any; a protocol takes it over.
bool take_origin(PyObject* self, PyObject* reader) noexcept {
    PyObject* const name = py::names()._source_traceback;
    const py::Ref origin = py::get_attr(reader, name);
    return origin && (origin.get() == Py_None || PyObject_SetAttr(self, name, origin.get()) == 0);
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    PyObject* const reader = args[1];
    Protocol& protocol = protocol_of(self);
    py::Ref loop =
        args[3] == Py_None ? py::call(py::state().get_event_loop) : py::Ref::borrow(args[3]);
    if (!loop) {
        return nullptr;
    }
    protocol.loop = loop.clone();
    protocol.paused = protocol.connection_lost = false;
    protocol.drain_waiters.clear();
    protocol.reader.reset();
    if (reader != Py_None) {
        protocol.reader = py::Ref::steal(PyWeakref_NewRef(reader, nullptr));
        if (!protocol.reader || !take_origin(self, reader)) {
            return nullptr;
        }
    }
    const bool serves = args[2] != Py_None;
    if (serves && reader != Py_None) {
        protocol.strong_reader = py::Ref::borrow(reader);
    }
    protocol.reject_connection = protocol.over_ssl = false;
    protocol.writer.reset();
    protocol.task.reset();
    protocol.transport.reset();
    protocol.client_connected_cb = serves ? py::Ref::borrow(args[2]) : py::Ref();
    protocol.closed = core::create_future(loop.get());
    return none_if(static_cast<bool>(protocol.closed));
}

// In debug mode a change of flow is logged, by asyncio's own function.
PyObject* change_flow(py::Function& function, PyObject* const* args, bool paused) noexcept {
    bool failed = false;
    const py::Ref loop = py::Ref::steal(py::value_or_none(protocol_of(args[0]).loop.get()));
    const bool debug = core::debug_of(loop.get(), failed);
    if (failed) {
        return nullptr;
    }
    return debug ? sync::call_twin(function, args) : none_if(set_paused(args[0], paused));
}

PyObject* pause_writing(py::Function& function, PyObject* const* args) noexcept {
    return change_flow(function, args, true);
}

PyObject* resume_writing(py::Function& function, PyObject* const* args) noexcept {
    return change_flow(function, args, false);
}

PyObject* connection_made_method(py::Function& function, PyObject* const* args) noexcept {
    return protocol_of(args[0]).reject_connection ? sync::call_twin(function, args)
                                                  : none_if(connection_made(args[0], args[1]));
}

PyObject* connection_lost_method(py::Function&, PyObject* const* args) noexcept {
    return none_if(connection_lost(args[0], args[1]));
}

PyObject* data_received(py::Function&, PyObject* const* args) noexcept {
    const py::Ref reader = reader_of_protocol(args[0]);
    if (!reader) {
        return none_if(PyErr_Occurred() == nullptr);
    }
    return none_if(feed_bytes(reader.get(), args[1]));
}

PyObject* eof_received_method(py::Function&, PyObject* const* args) noexcept {
    bool keep_open = false;
    return eof_received(args[0], keep_open) ? PyBool_FromLong(keep_open) : nullptr;
}

PyObject* get_close_waiter(py::Function&, PyObject* const* args) noexcept {
    return py::value_or_none(protocol_of(args[0]).closed.get());
}

core::Step drain_helper(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    const py::Ref self = co.arguments[0].clone();
    return co.stage == 0 ? drain(co, self.get(), co.arguments[0], 1, result)
                         : end_drain(co, self.get(), std::move(error), result);
}

// Nobody has to ask for the exception that a connection ended with.
void finalize(PyObject* self) noexcept {
    const py::Ref closed = protocol_of(self).closed.clone();
    if (!closed) { // its constructor failed
        return;
    }
    const py::ErrorScope keep;
    if (core::is_exact_native(closed.get())) {
        core::FutureCore& future = *core::future_core(closed.get());
        if (future.state == core::FutureState::finished) {
            future.log_traceback = false;
        }
        return;
    }
    const int done = core::is_done(closed.get());
    const int cancelled = done > 0 ? core::is_cancelled(closed.get()) : done;
    if (done < 0 || cancelled < 0 ||
        (done > 0 && cancelled == 0 && !py::call_method(closed.get(), py::names().exception))) {
        PyErr_WriteUnraisable(self);
    }
}

using P = Protocol;

PyGetSetDef kAttributes[] = {
    sync::optional_property<P, &P::loop>("_loop"),
    sync::property<P, &P::paused>("_paused"),
    sync::property<P, &P::drain_waiters>("_drain_waiters"),
    sync::property<P, &P::connection_lost>("_connection_lost"),
    sync::optional_property<P, &P::reader>("_stream_reader_wr"),
    sync::optional_property<P, &P::strong_reader>("_strong_reader"),
    sync::property<P, &P::reject_connection>("_reject_connection"),
    sync::optional_property<P, &P::writer>("_stream_writer"),
    sync::optional_property<P, &P::task>("_task"),
    sync::optional_property<P, &P::transport>("_transport"),
    sync::optional_property<P, &P::client_connected_cb>("_client_connected_cb"),
    sync::property<P, &P::over_ssl>("_over_ssl"),
    sync::optional_property<P, &P::closed>("_closed"),
    {"__dict__", sync::get_dict, sync::set_dict, nullptr, kAttributes},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"connection_made", connection_made_method},
    {"connection_lost", connection_lost_method},
    {"data_received", data_received},
    {"eof_received", eof_received_method},
    {"pause_writing", pause_writing},
    {"resume_writing", resume_writing},
    {"_get_close_waiter", get_close_waiter},
    core::async_row("_drain_helper", drain_helper),
    {nullptr, nullptr},
};

} // namespace

core::Step drain(core::Coroutine& co, PyObject* self, py::Ref& place, std::uint8_t next,
                 py::Ref& result) noexcept {
    Protocol& protocol = protocol_of(self);
    if (protocol.connection_lost) {
        PyErr_SetString(PyExc_ConnectionResetError, "Connection lost");
        return core::Step::fail;
    }
    if (!protocol.paused) [[likely]] {
        return core::finish_with_none(result);
    }
    const py::Ref hold = py::Ref::borrow(self);
    const py::Ref loop = protocol.loop.clone();
    py::Ref waiter = core::create_future(loop.get());
    if (!waiter || !protocol.drain_waiters.push_back(waiter.get())) {
        return core::Step::fail;
    }
    place = hold.clone();
    co.kept = waiter.clone();
    return co.wait(core::awaitable_of(waiter.get()), next);
}

core::Step end_drain(core::Coroutine& co, PyObject* self, py::Ref error, py::Ref& result) noexcept {
    if (!protocol_of(self).drain_waiters.remove(co.kept.get())) {
        return core::fail_after(std::move(error));
    }
    return error ? core::fail_with(std::move(error)) : core::finish_with_none(result);
}

bool make_protocol_type(PyObject* module) noexcept {
    py::State& state = py::state();
    find_protocol_rules();
    sync::PrimitiveRecipe recipe = {"bucle.StreamReaderProtocol",
                                    "asyncio.StreamReaderProtocol, native.", "asyncio.streams"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    state.stream_protocol_type = make_finalized<Protocol>(module, recipe, finalize);
    if (state.stream_protocol_type == nullptr) {
        return false;
    }
    offer_protocol_sink();
    return true;
}

} // namespace bucle::streams
