// SocketTransport: a connection of bytes, TCP or Unix, what create_connection and servers make. A
// subclass of the transport that asyncio has for it, whose fields stay unused.
//
// Reading goes through the loop's scratch buffer and makes one `bytes` of the exact size. What is
// written in one turn is gathered and goes out in one system call before the poll; whoever could
// see a difference (close, abort, write_eof, the buffer's size, a full buffer, a loop that does not
// run) makes it go out at once.
//
// Invariants: the descriptor belongs to the Python socket, or to the transport as long as nobody
// asked for that. connection_made is the first call of the protocol, connection_lost the last one,
// and after it loop, protocol and socket are dropped. All calls run in the transport's context.
#pragma once

#include "net/endpoint.hpp"
#include "net/errors.hpp"
#include "net/sink.hpp"
#include "net/write_buffer.hpp"

namespace bucle::net {

struct Gathered : loop::Flush {
    PyObject* transport = nullptr; // not owned
};

// Of Endpoint's fields: `file` is null as long as nobody asked for the Python socket; `extra` is
// what the maker gave, a dict or null; `fd` is as it was given: who uses it asks descriptor_of().
struct SocketTransport : Endpoint {
    static constexpr const char* kLog = kSocketLog;
    [[nodiscard]] static bool start_reading(PyObject* self) noexcept;
    // The Readiness stays: before it watches, it is what runs connection_made.
    void stop_reading() noexcept;

    py::Ref view; // asyncio's TransportSocket of the socket
    py::Ref peername;
    py::Ref sockname;
    py::Ref server;
    py::Ref waiter; // told when connection_made has been called
    py::Ref empty_waiter;
    WriteBuffer buffer;
    Gathered gathered; // linked while the buffer is to go out before the poll
    FlowControl flow;
    const Sink* sink = nullptr; // of a native protocol
    int family = 0;
    bool open = false; // the descriptor is, and it is ours
    bool made = false; // connection_made was called
    bool eof_written = false;
    bool buffered = false; // a BufferedProtocol

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;
};

inline constexpr const char* kSocketReader = "SocketTransport._read_ready";

inline SocketTransport& transport_of(PyObject* self) noexcept {
    return endpoint_of<SocketTransport>(self);
}

// A connection, as its maker describes it. What is not given is null.
struct Connection {
    int fd = -1;
    int family = 0;
    PyObject* socket = nullptr;
    PyObject* protocol = nullptr;
    PyObject* waiter = nullptr;
    PyObject* extra = nullptr;
    PyObject* server = nullptr;
    PyObject* context = nullptr;
    bool context_known = false; // a null context is an empty one, not the caller's
    py::Ref peername;
};

// Takes the connection over and schedules connection_made. Null with an error set: then the
// descriptor is still the caller's.
py::Ref make_socket_transport(loop::LoopCore& core, Connection connection) noexcept;

// socket_life.cpp
int descriptor_of(const SocketTransport& transport) noexcept; // -1: closed by others
[[nodiscard]] bool schedule_connection_lost(PyObject* self, PyObject* exception) noexcept;
[[nodiscard]] bool lose_connection(PyObject* self, SocketTransport& transport,
                                   PyObject* error) noexcept;
[[nodiscard]] bool close_transport(PyObject* self) noexcept;
[[nodiscard]] bool force_close(PyObject* self, PyObject* exception) noexcept;
// asyncio's _fatal_error.
[[nodiscard]] bool fatal_error(PyObject* self, PyObject* error, const char* message) noexcept;
// Of the exception that is set, which is taken. KeyboardInterrupt and SystemExit stay set: false.
[[nodiscard]] bool fatal_error(PyObject* self, const char* message) noexcept;
[[nodiscard]] bool change_protocol(SocketTransport& transport, PyObject* protocol) noexcept;
py::Ref python_socket(SocketTransport& transport) noexcept;
void finalize_endpoint(PyObject* self, SocketTransport& transport) noexcept;

// socket_read.cpp
[[nodiscard]] bool read_ready(PyObject* self) noexcept;

// socket_write.cpp
PyObject* write(PyObject* self, PyObject* data) noexcept;
PyObject* writelines(PyObject* self, PyObject* list) noexcept;
PyObject* write_eof(py::Function&, PyObject* const* args) noexcept;
[[nodiscard]] bool flush_now(PyObject* self, SocketTransport& transport) noexcept;

// socket_info.cpp
py::Ref sockname_of(SocketTransport& transport) noexcept;
py::Ref peername_of(SocketTransport& transport) noexcept;
PyObject* extra_info(SocketTransport& transport, PyObject* name, PyObject* fallback) noexcept;
extern PyGetSetDef socket_transport_getset[];

} // namespace bucle::net
