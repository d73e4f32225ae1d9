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

#include "loop/loop.hpp"
#include "loop/readiness.hpp"
#include "net/flow_control.hpp"
#include "net/sink.hpp"
#include "net/write_buffer.hpp"

namespace bucle::net {

struct SocketTransport {
    loop::Flush flush;
    loop::LoopCore* scheduler = nullptr; // of `loop`
    py::Ref loop;                        // null: connection_lost was called
    py::Ref protocol;
    py::Ref socket; // the Python one; null as long as nobody asked for it
    py::Ref view;   // asyncio's TransportSocket of it
    py::Ref extra;  // what the maker gave, a dict or null
    py::Ref peername;
    py::Ref sockname;
    py::Ref server;
    py::Ref context; // null: an empty one
    py::Ref waiter;  // told when connection_made has been called
    py::Ref empty_waiter;
    py::Ref reader;
    py::Ref writer;
    WriteBuffer buffer;
    FlowControl flow;
    const Sink* sink = nullptr; // of a native protocol
    int fd = -1;                // as it was given; who uses it asks descriptor_of()
    int family = 0;
    std::size_t lost_writes = 0; // asyncio's _conn_lost: 0 until connection_lost is scheduled
    bool open = false;           // the descriptor is, and it is ours
    bool made = false;           // connection_made was called
    bool closing = false;
    bool paused = false;
    bool eof_written = false;
    bool buffered = false; // a BufferedProtocol

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;

    bool can_read() const noexcept { return made && !closing && !paused; }
};

extern std::size_t socket_transport_offset;

inline SocketTransport& transport_of(PyObject* self) noexcept {
    return *py::own_fields<SocketTransport>(self, socket_transport_offset);
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
[[nodiscard]] bool connection_lost(PyObject* self, py::Ref exception) noexcept;
[[nodiscard]] bool close_transport(PyObject* self) noexcept;
[[nodiscard]] bool force_close(PyObject* self, PyObject* exception) noexcept;
// asyncio's _fatal_error of the exception that is set, which is taken. KeyboardInterrupt and
// SystemExit stay set: false.
[[nodiscard]] bool fatal_error(PyObject* self, const char* message) noexcept;
[[nodiscard]] bool set_protocol(SocketTransport& transport, PyObject* protocol) noexcept;
[[nodiscard]] bool in_debug(const SocketTransport& transport) noexcept;
py::Ref python_socket(SocketTransport& transport) noexcept;
void dealloc_transport(PyObject* self) noexcept;
void finalize_transport(PyObject* self) noexcept;

// socket_read.cpp
[[nodiscard]] bool read_ready(PyObject* self) noexcept;
[[nodiscard]] bool start_reading(SocketTransport& transport) noexcept;
void stop_reading(SocketTransport& transport) noexcept;

// socket_write.cpp
PyObject* write(PyObject* self, PyObject* data) noexcept;
PyObject* writelines(PyObject* self, PyObject* list) noexcept;
PyObject* write_eof(PyObject* self, PyObject*) noexcept;
[[nodiscard]] bool flush_now(PyObject* self, SocketTransport& transport) noexcept;
void stop_writing(SocketTransport& transport) noexcept;

// socket_info.cpp
py::Ref sockname_of(SocketTransport& transport) noexcept;
py::Ref peername_of(SocketTransport& transport) noexcept;
py::Ref extra_info(PyObject* self, PyObject* name) noexcept; // null without an error: not known
extern PyGetSetDef socket_transport_getset[];

} // namespace bucle::net
