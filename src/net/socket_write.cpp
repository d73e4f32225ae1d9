// See socket_transport.hpp. From the program to the descriptor: gather, flush, wait for room.
#include "net/socket_transport.hpp"

#include "net/context_scope.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <algorithm>
#include <cerrno>

#include <sys/socket.h>
#include <sys/uio.h>

namespace bucle::net {
namespace {

// More than this goes out at once, as does what is above eight high marks: a stream of blocks is
// sent by a system call for eight of them.
constexpr std::int64_t kGathered = std::int64_t{512} * 1024;
constexpr const char* kWriteError = "Fatal write error on socket transport";

// The stock method, for what it refuses: the text is that of the running version.
PyObject* refuse(PyObject* self, const char* method, PyObject* argument) noexcept {
    PyObject* const base = reinterpret_cast<PyObject*>(py::state().socket_transport_type->tp_base);
    return PyObject_CallMethod(base, method, "OO", self, argument);
}

bool is_waiting_for_room(const SocketTransport& transport) noexcept {
    return static_cast<bool>(transport.writer);
}

bool write_ready(PyObject* self) noexcept;

bool wait_for_room(PyObject* self, SocketTransport& transport) noexcept {
    return descriptor_of(transport) < 0 ? py::raise_os_error(EBADF)
                                        : watch_side(self, transport, loop::Side::writer,
                                                     write_ready, "SocketTransport._write_ready");
}

// Sends what it can. False with the error set.
bool send_some(SocketTransport& transport) noexcept {
    while (!transport.buffer.empty()) {
        iovec pieces[WriteBuffer::kAtOnce];
        msghdr message = {};
        message.msg_iov = pieces;
        message.msg_iovlen = static_cast<std::size_t>(transport.buffer.describe(pieces));
        std::size_t size = 0;
        for (std::size_t i = 0; i != message.msg_iovlen; ++i) {
            size += pieces[i].iov_len;
        }
        const int fd = descriptor_of(transport);
        const ssize_t sent = fd < 0 ? -1
                             : message.msg_iovlen == 1
                                 ? ::send(fd, pieces[0].iov_base, size, MSG_NOSIGNAL)
                                 : ::sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            const int error = fd < 0 ? EBADF : errno;
            return error == EAGAIN || error == EINTR || py::raise_os_error(error);
        }
        transport.buffer.consume(static_cast<std::size_t>(sent));
        if (static_cast<std::size_t>(sent) < size) {
            break;
        }
    }
    return true;
}

bool settle_empty_waiter(SocketTransport& transport, PyObject* exception) noexcept {
    const py::Ref waiter = transport.empty_waiter.clone();
    const py::Names& names = py::names();
    return !waiter ||
           (exception == nullptr ? py::call_method(waiter.get(), names.set_result, Py_None)
                                 : py::call_method(waiter.get(), names.set_exception, exception));
}

// The error is set: asyncio's order, then false if it has to end the run.
bool fail(PyObject* self, SocketTransport& transport) noexcept {
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    unwatch_side(transport, loop::Side::writer);
    transport.buffer.clear();
    py::compat::put_exception(error.clone());
    return fatal_error(self, kWriteError) && settle_empty_waiter(transport, error.get());
}

bool shut_down(SocketTransport& transport) noexcept {
    const int fd = descriptor_of(transport);
    return (fd >= 0 && ::shutdown(fd, SHUT_WR) == 0) || py::raise_os_error(fd < 0 ? EBADF : errno);
}

// In the context of whoever wrote.
bool pause_protocol(PyObject* self, SocketTransport& transport) noexcept {
    return maybe_pause_writing(self, transport.flow, transport.buffer.size(), transport.loop.get(),
                               transport.protocol.get());
}

bool resume_protocol(PyObject* self, SocketTransport& transport) noexcept {
    if (!transport.flow.paused) {
        return true;
    }
    const py::Ref loop = transport.loop.clone();
    const ContextScope scope(transport.core(), transport.context);
    return scope && maybe_resume_writing(self, transport.flow, transport.buffer.size(), loop.get(),
                                         transport.protocol.get());
}

// The descriptor has room again.
bool write_ready(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.conn_lost != 0) {
        return true;
    }
    if (!send_some(transport)) {
        return fail(self, transport);
    }
    if (!resume_protocol(self, transport)) { // may write
        return false;
    }
    if (!transport.buffer.empty() || !transport.loop) {
        return true;
    }
    unwatch_side(transport, loop::Side::writer);
    if (!settle_empty_waiter(transport, nullptr)) {
        return false;
    }
    if (transport.closing) {
        ++transport.conn_lost;
        return lose_connection(self, transport, Py_None);
    }
    return !transport.eof_written || shut_down(transport);
}

bool flush_gathered(loop::Flush& flush, loop::Occasion occasion) noexcept {
    PyObject* const gatherer = static_cast<Gathered&>(flush).transport;
    if (occasion == loop::Occasion::child) {
        transport_of(gatherer).buffer.clear();
        return true;
    }
    const py::Ref self = py::Ref::borrow(gatherer);
    SocketTransport& transport = transport_of(self.get());
    if (occasion == loop::Occasion::callback) {
        return flush_now(self.get(), transport);
    }
    const py::Ref loop = transport.loop.clone();
    const ContextScope scope(transport.core(), transport.context);
    return scope && flush_now(self.get(), transport);
}

// Whether there is somebody to write to. asyncio drops what comes later without an error, and
// warns from the fifth time on.
bool is_connected(SocketTransport& transport, bool& ok) noexcept {
    if (transport.conn_lost == 0 && transport.loop) [[likely]] {
        return true;
    }
    ok = count_lost_write(transport.conn_lost, kSocketLog, "socket.send() raised exception.");
    return false;
}

bool may_write(const SocketTransport& transport) noexcept {
    return !transport.eof_written && !transport.empty_waiter;
}

// What was gathered goes out in its time, or now: a task that works for long between its writes
// has each sent as asyncio would.
bool after_write(PyObject* self, SocketTransport& transport) noexcept {
    if (is_waiting_for_room(transport)) {
        return pause_protocol(self, transport);
    }
    if (static_cast<std::int64_t>(transport.buffer.size()) >
            8 * std::min(kGathered / 8, transport.flow.high.bytes) ||
        !transport.core().running() || loop::takes_long(transport.core())) {
        return flush_now(self, transport);
    }
    if (!transport.gathered.node.linked()) {
        transport.gathered.flush = flush_gathered;
        transport.gathered.transport = self;
        transport.core().flushes.push_back(&transport.gathered);
    }
    return true;
}

// asyncio makes a memoryview of each piece: what that refuses is refused in its words.
bool gather(SocketTransport& transport, PyObject* piece) noexcept {
    if (py::state().writelines_skips_empty) {
        const int any = PyObject_IsTrue(piece);
        if (any <= 0) {
            return any == 0;
        }
    }
    if (PyObject_CheckBuffer(piece) == 0) {
        return static_cast<bool>(py::Ref::steal(PyMemoryView_FromObject(piece)));
    }
    py::Ref bytes = immutable(piece);
    return bytes && transport.buffer.push(std::move(bytes));
}

} // namespace

bool flush_now(PyObject* self, SocketTransport& transport) noexcept {
    transport.gathered.node.unlink();
    if (transport.conn_lost != 0 || transport.buffer.empty() || is_waiting_for_room(transport)) {
        return true;
    }
    if (!send_some(transport)) {
        return fail(self, transport);
    }
    if (transport.buffer.empty()) {
        return true;
    }
    return wait_for_room(self, transport) ? pause_protocol(self, transport) : fail(self, transport);
}

PyObject* write(PyObject* self, PyObject* data) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!is_bytes_like(data)) [[unlikely]] {
        return refuse(self, "write", data);
    }
    py::Ref bytes = immutable(data);
    if (!bytes) {
        return nullptr;
    }
    if (!may_write(transport)) [[unlikely]] {
        return py::raise_runtime_error(transport.eof_written
                                           ? "Cannot call write() after write_eof()"
                                           : "unable to write; sendfile is in progress");
    }
    if (PyBytes_GET_SIZE(bytes.get()) == 0) {
        Py_RETURN_NONE;
    }
    bool ok = true;
    if (is_connected(transport, ok)) [[likely]] {
        ok = transport.buffer.push(std::move(bytes)) && after_write(self, transport);
    }
    return none_if(ok);
}

PyObject* writelines(PyObject* self, PyObject* list) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!may_write(transport)) {
        return py::raise_runtime_error(transport.eof_written
                                           ? "Cannot call writelines() after write_eof()"
                                           : "unable to writelines; sendfile is in progress");
    }
    const int any = PyObject_IsTrue(list);
    bool ok = any >= 0;
    if (any <= 0 || !is_connected(transport, ok)) {
        return none_if(ok);
    }
    const py::Ref items = py::Ref::steal(PySequence_List(list));
    if (!items) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
        if (!gather(transport, PyList_GET_ITEM(items.get(), i))) {
            return nullptr;
        }
    }
    return none_if(transport.buffer.empty() || after_write(self, transport));
}

PyObject* write_eof(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    SocketTransport& transport = transport_of(self);
    if (transport.closing || transport.eof_written) {
        Py_RETURN_NONE;
    }
    if (!flush_now(self, transport)) {
        return nullptr;
    }
    transport.eof_written = true;
    return none_if(transport.conn_lost != 0 || !transport.buffer.empty() || shut_down(transport));
}

} // namespace bucle::net
