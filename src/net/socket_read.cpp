// See socket_transport.hpp. From the descriptor to the protocol.
#include "net/socket_transport.hpp"

#include "core/handle.hpp"
#include "net/context_scope.hpp"
#include "net/scratch.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

#include <sys/socket.h>

namespace bucle::net {
namespace {

// A message that fills the scratch buffer is rarely alone; more than this many in a row would keep
// the others waiting.
constexpr int kReadsAtOnce = 4;

constexpr const char* kReadError = "Fatal read error on socket transport";

enum class Got { data, nothing, failed };

// One recv; `size` is 0 at the end of the stream. Failed: the error was dealt with, and `ok` tells
// whether the run goes on.
Got receive(PyObject* self, SocketTransport& transport, char* into, std::size_t room,
            std::size_t& size, bool& ok) noexcept {
    const int fd = descriptor_of(transport);
    const ssize_t got = fd < 0 ? -1 : ::recv(fd, into, room, 0);
    if (got >= 0) {
        size = static_cast<std::size_t>(got);
        return Got::data;
    }
    const int error = fd < 0 ? EBADF : errno;
    if (error == EAGAIN || error == EINTR) {
        return Got::nothing;
    }
    (void)py::raise_os_error(error);
    ok = fatal_error(self, kReadError);
    return Got::failed;
}

// What eof_received() answers: 1, 0, or -1 with an error set.
int tell_eof(SocketTransport& transport) noexcept {
    const py::Ref protocol = transport.protocol.clone();
    const ContextScope scope(transport.core(), transport.context);
    if (scope && transport.sink != nullptr) {
        bool keep_open = false;
        return transport.sink->eof(protocol.get(), keep_open) ? static_cast<int>(keep_open) : -1;
    }
    const py::Ref answer =
        scope ? py::call_method(protocol.get(), py::names().eof_received) : py::Ref();
    return answer ? PyObject_IsTrue(answer.get()) : -1;
}

bool end_of_stream(PyObject* self, SocketTransport& transport) noexcept {
    if (!log_if_debug(self, transport, kSocketLog, "debug", "%r received EOF")) {
        return false;
    }
    const int keep_open = tell_eof(transport);
    if (keep_open < 0) {
        return fatal_error(self, "Fatal error: protocol.eof_received() call failed.");
    }
    if (keep_open > 0) { // it may write on, but there is nothing to read any more
        transport.stop_reading();
        return true;
    }
    return close_transport(self);
}

bool deliver(PyObject* self, SocketTransport& transport, const char* data,
             std::size_t size) noexcept {
    const py::Ref protocol = transport.protocol.clone();
    bool done = false;
    {
        const ContextScope scope(transport.core(), transport.context);
        if (scope && transport.sink != nullptr) {
            done = transport.sink->data(protocol.get(), data, size);
        } else if (scope) {
            const py::Ref bytes =
                py::Ref::steal(PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size)));
            done = bytes && py::call_method(protocol.get(), py::names().data_received, bytes.get());
        }
    }
    return done || fatal_error(self, "Fatal error: protocol.data_received() call failed.");
}

bool read_data(PyObject* self, SocketTransport& transport) noexcept {
    for (int i = 0; i != kReadsAtOnce; ++i) {
        char* const memory = scratch(transport.core());
        if (memory == nullptr) {
            return fatal_error(self, kReadError);
        }
        std::size_t size = 0;
        bool ok = true;
        if (receive(self, transport, memory, kReadAtOnce, size, ok) != Got::data) {
            return ok;
        }
        if (size == 0) {
            return end_of_stream(self, transport);
        }
        if (!deliver(self, transport, memory, size)) {
            return false;
        }
        if (size < kReadAtOnce || !transport.reading() || transport.buffered) {
            break;
        }
    }
    return true;
}

// A buffer of the protocol's; null with an error set.
py::Ref get_buffer(PyObject* protocol) noexcept {
    const py::Ref hint = py::Ref::steal(PyLong_FromLong(-1));
    py::Ref buffer = py::call_method(protocol, py::names().get_buffer, hint.get());
    const Py_ssize_t length = buffer ? PyObject_Length(buffer.get()) : -1;
    if (length == 0) {
        py::raise_runtime_error("get_buffer() returned an empty buffer");
    }
    return length > 0 ? std::move(buffer) : py::Ref();
}

// What nobody can read into: recv_into() says why.
bool refuse_buffer(PyObject* self, SocketTransport& transport, PyObject* buffer) noexcept {
    PyErr_Clear();
    const py::Ref socket = python_socket(transport);
    return (socket && py::call_method(socket.get(), py::names().recv_into, buffer)) ||
           fatal_error(self, "Fatal read error on socket transport");
}

bool read_into_protocol(PyObject* self, SocketTransport& transport) noexcept {
    const py::Ref protocol = transport.protocol.clone();
    py::Ref buffer;
    {
        const ContextScope scope(transport.core(), transport.context);
        buffer = scope ? get_buffer(protocol.get()) : py::Ref();
    }
    if (!buffer) {
        return fatal_error(self, "Fatal error: protocol.get_buffer() call failed.");
    }
    Py_buffer view = {};
    if (PyObject_GetBuffer(buffer.get(), &view, PyBUF_WRITABLE) < 0) {
        return refuse_buffer(self, transport, buffer.get());
    }
    std::size_t size = 0;
    bool ok = true;
    const Got got = receive(self, transport, static_cast<char*>(view.buf),
                            static_cast<std::size_t>(view.len), size, ok);
    PyBuffer_Release(&view);
    if (got != Got::data || size == 0) {
        return got != Got::data ? ok : end_of_stream(self, transport);
    }
    const py::Ref count = py::Ref::steal(PyLong_FromSize_t(size));
    py::Ref done;
    {
        const ContextScope scope(transport.core(), transport.context);
        if (count && scope) {
            done = py::call_method(protocol.get(), py::names().buffer_updated, count.get());
        }
    }
    return done || fatal_error(self, "Fatal error: protocol.buffer_updated() call failed.");
}

bool tell_waiter(SocketTransport& transport) noexcept {
    const py::Ref waiter = std::move(transport.waiter);
    return !waiter || py::call(py::state().set_unless_cancelled, waiter.get(), Py_None);
}

// Of several errors the first one is told.
void keep_first(py::Ref& error) noexcept {
    py::Ref another = py::compat::take_exception();
    if (!error) {
        error = std::move(another);
    }
}

// The first entry: connection_made, then reading, then whoever waits for the connection. asyncio
// queues them one behind the other; what fails in one does not keep the next from running.
bool begin(PyObject* self, SocketTransport& transport) noexcept {
    transport.made = true;
    loop::set_watched(transport.reader.get(), false); // it was, to be run
    const py::Ref protocol = transport.protocol.clone();
    const py::Ref hold = transport.loop.clone();
    const py::Ref made = py::get_attr(protocol.get(), py::names().connection_made);
    bool ok = true;
    {
        const ContextScope scope(transport.core(), transport.context);
        ok = made && scope && py::call(made.get(), self);
    }
    if (!ok && !py::exit_exception_raised()) {
        ok = core::report_failed_callback(transport.core(), made ? made.get() : self, self);
    }
    py::Ref raised = ok ? py::Ref() : py::compat::take_exception();
    if (transport.loop && !SocketTransport::start_reading(self)) {
        keep_first(raised);
    }
    if (!tell_waiter(transport)) {
        keep_first(raised);
    }
    if (!raised) {
        return true;
    }
    py::compat::put_exception(std::move(raised));
    return false;
}

} // namespace

bool read_ready(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!transport.made) [[unlikely]] {
        return begin(self, transport);
    }
    if (transport.conn_lost != 0) {
        return true;
    }
    return transport.buffered ? read_into_protocol(self, transport) : read_data(self, transport);
}

bool SocketTransport::start_reading(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!transport.made || !transport.reading()) {
        return true;
    }
    return descriptor_of(transport) < 0
               ? py::raise_os_error(EBADF)
               : watch_side(self, transport, loop::Side::reader, read_ready, kSocketReader);
}

void SocketTransport::stop_reading() noexcept {
    loop::unwatch(core(), fd, loop::Side::reader, reader.get());
}

} // namespace bucle::net
