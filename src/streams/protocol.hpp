// Protocol: the fields of a StreamReaderProtocol, which feeds a reader and tells writers when the
// transport's buffer is full. Exactly of our type it is fed by the transport through its sink
// (net/sink.hpp), without a method call.
#pragma once

#include "core/coroutine.hpp"
#include "sync/deque.hpp"
#include "sync/primitive.hpp"

namespace bucle::streams {

struct Protocol {
    sync::Deque drain_waiters;
    py::Ref loop;
    py::Ref reader; // a weak reference, or what a program put there; null: None, as all below
    py::Ref strong_reader; // until a server's connection is made
    py::Ref transport;
    py::Ref task; // of client_connected_cb
    py::Ref client_connected_cb;
    py::Ref closed; // the future of wait_closed()
    py::Ref writer; // where the running version keeps it
    bool paused = false;
    bool connection_lost = false;
    bool reject_connection = false;
    bool over_ssl = false;

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&loop, &reader, &strong_reader, &transport, &task,
                                   &client_connected_cb, &closed, &writer}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return drain_waiters.visit(visitor, arg);
    }
    void clear() noexcept {
        for (py::Ref* ref : {&loop, &reader, &strong_reader, &transport, &task,
                             &client_connected_cb, &closed, &writer}) {
            ref->reset();
        }
        drain_waiters.clear();
    }
};

inline Protocol& protocol_of(PyObject* self) noexcept {
    return sync::core_of<Protocol>(self);
}

inline bool is_exact_protocol(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().stream_protocol_type;
}

// _drain_helper() in a coroutine of any: at once, or after a wait at whose end the body is called
// with `next` and calls end_drain(). `place` keeps the protocol meanwhile.
core::Step drain(core::Coroutine& co, PyObject* protocol, py::Ref& place, std::uint8_t next,
                 py::Ref& result) noexcept;
core::Step end_drain(core::Coroutine& co, PyObject* protocol, py::Ref error,
                     py::Ref& result) noexcept;

// What a transport does to a protocol exactly of our type, and the methods to any of ours
// (protocol_events.cpp).
[[nodiscard]] bool connection_made(PyObject* self, PyObject* transport) noexcept;
[[nodiscard]] bool connection_lost(PyObject* self, PyObject* error) noexcept;
[[nodiscard]] bool eof_received(PyObject* self, bool& keep_open) noexcept;
[[nodiscard]] bool set_paused(PyObject* self, bool paused) noexcept;
// The reader, null without an error when it is gone.
py::Ref reader_of_protocol(PyObject* self) noexcept;
void find_protocol_rules() noexcept;
void offer_protocol_sink() noexcept;

} // namespace bucle::streams
