// See socket_transport.hpp. How a transport begins and ends, and who owns its descriptor.
#include "net/socket_transport.hpp"

#include "core/context.hpp"
#include "net/context_scope.hpp"
#include "net/python_socket.hpp"
#include "net/transport_type.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bucle::net {

int SocketTransport::visit(visitproc visitor, void* arg) const noexcept {
    for (const py::Ref* ref : {&view, &peername, &sockname, &server, &waiter, &empty_waiter}) {
        if (const int stop = ref->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    const int stop = Endpoint::visit(visitor, arg);
    return stop != 0 ? stop : flow.visit(visitor, arg);
}

void SocketTransport::clear() noexcept {
    gathered.node.unlink();
    Endpoint::clear();
    for (py::Ref* ref : {&view, &peername, &sockname, &server, &waiter, &empty_waiter}) {
        ref->reset();
    }
    buffer.clear();
    flow.clear();
}

int descriptor_of(const SocketTransport& transport) noexcept {
    return !transport.open  ? -1
           : transport.file ? fd_of_socket(transport.file.get())
                            : transport.fd;
}

bool change_protocol(SocketTransport& transport, PyObject* protocol) noexcept {
    const int buffered = PyObject_IsInstance(protocol, py::state().buffered_protocol);
    if (buffered < 0) {
        return false;
    }
    const py::Ref old = std::exchange(transport.protocol, py::Ref::borrow(protocol));
    transport.buffered = buffered > 0;
    transport.sink = sink_of(protocol);
    return true;
}

namespace {

// Small writes go out without waiting for the peer's acknowledgement of earlier ones.
void set_no_delay(int fd, int family) noexcept {
    if (family == AF_INET || family == AF_INET6) {
        const int on = 1;
        (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

// server._attach(transport), or server._attach() where a server only counts.
bool tell_server(PyObject* server, PyObject* name, PyObject* self) noexcept {
    return py::state().server_knows_transports
               ? static_cast<bool>(py::call_method(server, name, self))
               : static_cast<bool>(py::call_method(server, name));
}

// connection_made comes with its own turn, in asyncio's place for it: the entry of the reader,
// which is not watching yet, runs it.
bool schedule_beginning(SocketTransport& transport) noexcept {
    loop::LoopCore& core = transport.core();
    if (core.gate != 0 && !core::check_gate(core)) {
        return false;
    }
    loop::set_watched(transport.reader.get(), true);
    return core.foreign()
               ? core::call_soon(transport.loop.get(), transport.reader.get(), nullptr,
                                 transport.context.get())
               : core::push_ready(core, core::ReadyKind::readiness, transport.reader.clone());
}

py::Ref context_for(const Connection& connection, bool& failed) noexcept {
    failed = false;
    PyObject* const given = connection.context;
    return connection.context_known || (given != nullptr && given != Py_None)
               ? py::Ref::borrow(given)
               : core::copy_current_context(failed);
}

// Once: a finalizer that ran after ours, as StreamWriter's, may have closed the transport, which is
// then told the loss of its connection all the same.
void close_descriptor(SocketTransport& transport) noexcept {
    if (!transport.open) {
        return;
    }
    (void)sockname_of(transport); // who asks later is told as well
    transport.open = false;
    if (!transport.file) {
        ::close(transport.fd);
    } else if (!py::call_method(transport.file.get(), py::names().close)) {
        PyErr_WriteUnraisable(transport.file.get());
    }
}

} // namespace

py::Ref make_socket_transport(loop::LoopCore& core, Connection connection) noexcept {
    py::Ref self = make_endpoint<SocketTransport>(py::state().socket_transport_type);
    if (!self) {
        return {};
    }
    SocketTransport& transport = transport_of(self.get());
    bool failed = false;
    transport.scheduler = &core;
    transport.context = context_for(connection, failed);
    transport.reader = loop::make_readiness(self.get(), read_ready, kSocketReader);
    if (failed || !transport.reader || !change_protocol(transport, connection.protocol)) {
        return {};
    }
    // Called in its turn; what has no such method is refused now.
    if (transport.sink == nullptr &&
        !py::get_attr(connection.protocol, py::names().connection_made)) {
        return {};
    }
    transport.family = connection.family;
    transport.peername = std::move(connection.peername);
    transport.extra = py::Ref::borrow(connection.extra);
    transport.waiter = py::Ref::borrow(connection.waiter);
    if (connection.server != nullptr && connection.server != Py_None) {
        if (!tell_server(connection.server, py::names()._attach, self.get())) {
            return {};
        }
        transport.server = py::Ref::borrow(connection.server);
    }
    transport.loop = py::Ref::borrow(core.loop);
    transport.file = py::Ref::borrow(connection.socket);
    transport.fd = connection.fd;
    transport.open = true;
    set_no_delay(transport.fd, transport.family);
    // The peer's name is asked for now: of a connection that the peer resets there is none.
    if (peername_of(transport) && loop::claim_fd(core, transport.fd, self.get()) &&
        schedule_beginning(transport)) {
        return self;
    }
    give_up_fd(self.get(), transport);
    transport.open = false; // it stays its maker's
    transport.loop.reset();
    return {};
}

bool schedule_connection_lost(PyObject* self, PyObject* exception) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!transport.loop) { // somebody has called it himself
        return true;
    }
    ++transport.conn_lost;
    const py::Ref callback = py::get_attr(self, py::names()._call_connection_lost);
    return callback && core::call_soon(transport.loop.get(), callback.get(),
                                       exception == nullptr ? Py_None : exception, nullptr);
}

bool lose_connection(PyObject* self, SocketTransport& transport, PyObject* error) noexcept {
    if (!transport.loop) {
        return true;
    }
    leave_fd(self, transport);
    const py::Ref loop = std::move(transport.loop);
    const py::Ref protocol = std::move(transport.protocol);
    bool ok = true;
    if (protocol) {
        const ContextScope scope(transport.core(), transport.context);
        ok = scope && py::call_method(protocol.get(), py::names().connection_lost, error);
    }
    py::Ref raised = ok ? py::Ref() : py::compat::take_exception();
    const py::Ref server = std::move(transport.server);
    const py::Ref waiter = transport.empty_waiter.clone();
    close_descriptor(transport);
    ok = !server || tell_server(server.get(), py::names()._detach, self);
    if (waiter) {
        const py::Ref closed = py::Ref::steal(
            PyObject_CallFunction(PyExc_ConnectionError, "s", "Connection is closed by peer"));
        ok = closed && py::call_method(waiter.get(), py::names().set_exception, closed.get()) && ok;
    }
    if (raised) {
        py::compat::put_exception(std::move(raised));
        return false;
    }
    return ok;
}

bool close_transport(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.closing) {
        return true;
    }
    if (!flush_now(self, transport)) {
        return false;
    }
    if (transport.closing) { // what was to be flushed could not be
        return true;
    }
    transport.closing = true;
    transport.stop_reading();
    if (!transport.buffer.empty()) {
        return true;
    }
    unwatch_side(transport, loop::Side::writer);
    return schedule_connection_lost(self, nullptr);
}

bool force_close(PyObject* self, PyObject* exception) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.conn_lost != 0) {
        return true;
    }
    transport.gathered.node.unlink();
    if (!transport.buffer.empty()) {
        transport.buffer.clear();
        unwatch_side(transport, loop::Side::writer);
    }
    if (!transport.closing) {
        transport.closing = true;
        transport.stop_reading();
    }
    return schedule_connection_lost(self, exception);
}

bool fatal_error(PyObject* self, PyObject* error, const char* message) noexcept {
    const SocketTransport& transport = transport_of(self);
    return !transport.loop || // it has ended
           (report_fatal_error(self, transport.loop.get(), transport.protocol.get(), error, message,
                               Expected::os_errors, kSocketLog) &&
            force_close(self, error));
}

bool fatal_error(PyObject* self, const char* message) noexcept {
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    return fatal_error(self, error.get(), message);
}

py::Ref python_socket(SocketTransport& transport) noexcept {
    if (!transport.file && transport.open) {
        transport.file = adopt_socket(transport.fd);
    }
    return transport.file.clone();
}

void finalize_endpoint(PyObject* self, SocketTransport& transport) noexcept {
    if (!transport.open) {
        return;
    }
    const py::ErrorScope keep;
    if (!flush_now(self, transport)) {
        PyErr_WriteUnraisable(self);
    }
    py::warn_unclosed(self, "transport");
    leave_fd(self, transport);
    close_descriptor(transport);
    const py::Ref server = std::move(transport.server);
    if (server && !tell_server(server.get(), py::names()._detach, self)) {
        PyErr_WriteUnraisable(self);
    }
}

} // namespace bucle::net
