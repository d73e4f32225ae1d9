// Sending datagrams: at once if nothing waits, else in order when the socket can be written. An
// address is parsed by the socket module's rules as long as it is literal; the peer that is being
// answered, and the one that was sent to last, are known already.
#include "net/context_scope.hpp"
#include "net/datagram.hpp"
#include "net/errors.hpp"
#include "net/write_buffer.hpp"
#include "py/buffer.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::net {
namespace {

enum class Sent { done, blocked, failed }; // failed: an error is set

constexpr const char* kFatal = "Fatal write error on datagram transport";

// Null, with no error set: who resolves names has to be asked.
const SocketAddress* find_peer(Datagram& datagram, PyObject* address) noexcept {
    if (datagram.delivering != nullptr && datagram.delivering->address == address &&
        address != Py_None) {
        return &datagram.delivering->peer;
    }
    if (datagram.sent_to == address) {
        return &datagram.sent_to_peer;
    }
    SocketAddress parsed;
    if (!parse_address(datagram.family, address, parsed)) {
        return nullptr;
    }
    datagram.sent_to_peer = parsed;
    datagram.sent_to = py::Ref::borrow(address);
    return &datagram.sent_to_peer;
}

Sent send_by_name(const Datagram& datagram, PyObject* data, PyObject* address) noexcept {
    const py::Ref file = datagram.file ? datagram.file.clone() : py::none();
    const py::Names& names = py::names();
    if (datagram.connected ? py::call_method(file.get(), names.send, data)
                           : py::call_method(file.get(), names.sendto, data, address)) {
        return Sent::done;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) != 0 ||
        PyErr_ExceptionMatches(PyExc_InterruptedError) != 0) {
        PyErr_Clear();
        return Sent::blocked;
    }
    return Sent::failed;
}

Sent send_natively(const Datagram& datagram, const void* data, std::size_t size,
                   const SocketAddress* peer) noexcept {
    ssize_t sent = 0;
    do {
        sent = peer == nullptr ? send(datagram.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                               : sendto(datagram.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                                        &peer->any, peer->length);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) [[likely]] {
        return Sent::done;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return Sent::blocked;
    }
    (void)py::raise_os_error(errno);
    return Sent::failed;
}

Sent try_send(Datagram& datagram, PyObject* data, PyObject* address) noexcept {
    const SocketAddress* const peer = datagram.foreign || datagram.connected || !datagram.file
                                          ? nullptr
                                          : find_peer(datagram, address);
    if (datagram.foreign || !datagram.file || (peer == nullptr && !datagram.connected)) {
        return send_by_name(datagram, data, address);
    }
    if (!datagram.connected &&
        PySys_Audit("socket.sendto", "OO", datagram.file.get(), address) < 0) {
        return Sent::failed;
    }
    if (PyBytes_CheckExact(data)) [[likely]] {
        return send_natively(datagram, PyBytes_AS_STRING(data),
                             static_cast<std::size_t>(PyBytes_GET_SIZE(data)), peer);
    }
    const py::Buffer view(data, PyBUF_SIMPLE);
    return view ? send_natively(datagram, view.data(), static_cast<std::size_t>(view.size()), peer)
                : Sent::failed;
}

// None or equal to the remote end. 1 yes, 0 no, -1 an error is set.
int fits(const Datagram& datagram, PyObject* address) noexcept {
    if (address == Py_None) {
        return 1;
    }
    const py::Ref remote = datagram.address.clone();
    const int same = PyObject_RichCompareBool(address, remote.get(), Py_EQ);
    return same != 0 ? same : PyObject_RichCompareBool(address, Py_None, Py_EQ);
}

bool keep_unsent(PyObject* self, Datagram& datagram, PyObject* data, PyObject* address) noexcept {
    py::Ref bytes = immutable(data);
    if (!bytes) {
        return false;
    }
    const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()));
    if (!datagram.unsent.push_back({bytes.get(), address})) {
        PyErr_NoMemory();
        return false;
    }
    (void)bytes.release();
    (void)py::new_ref(address);
    datagram.unsent_size += size + py::state().datagram_header;
    return maybe_pause_writing(self, datagram.flow, datagram.unsent_size, datagram.loop.get(),
                               datagram.protocol.get());
}

bool check_data(PyObject* data) noexcept {
    if (is_bytes_like(data)) [[likely]] {
        return true;
    }
    const py::Ref name =
        py::get_attr(reinterpret_cast<PyObject*>(Py_TYPE(data)), py::names().__name__);
    if (name) {
        PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not %R",
                     name.get());
    }
    return false;
}

// sendto() of checked arguments.
bool send_or_keep(PyObject* self, Datagram& datagram, PyObject* data, PyObject* address) noexcept {
    if (datagram.unsent.empty()) {
        switch (try_send(datagram, data, address)) {
        case Sent::done:
            return true;
        case Sent::failed:
            return handle_error(self, datagram, kFatal);
        case Sent::blocked:
            if (!datagram.loop || !watch_side(self, datagram, loop::Side::writer,
                                              datagram_write_ready, kDatagramWriter)) {
                return !datagram.loop;
            }
        }
    }
    return keep_unsent(self, datagram, data, address);
}

} // namespace

PyObject* datagram_sendto(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    PyObject* const data = args[1];
    PyObject* address = args[2];
    Datagram& datagram = datagram_of(self);
    if (!check_data(data)) {
        return nullptr;
    }
    if (!py::state().datagrams_may_be_empty) {
        const int some = PyObject_IsTrue(data);
        if (some <= 0) {
            return none_if(some == 0);
        }
    }
    if (datagram.has_address) {
        const int good = fits(datagram, address);
        if (good <= 0) {
            if (good == 0) {
                const py::Ref text = py::Ref::steal(PyObject_Str(datagram.address.get()));
                if (text) {
                    PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %U",
                                 text.get());
                }
            }
            return nullptr;
        }
        address = datagram.address.get();
    }
    if ((datagram.conn_lost != 0 && datagram.has_address) || !datagram.loop) {
        return none_if(
            count_lost_write(datagram.conn_lost, kSocketLog, "socket.send() raised exception."));
    }
    const py::Ref held_address = py::Ref::borrow(address);
    return none_if(send_or_keep(self, datagram, data, address));
}

bool datagram_write_ready(PyObject* self) noexcept {
    Datagram& datagram = datagram_of(self);
    if (!datagram.loop) {
        return true;
    }
    loop::LoopCore& core = datagram.core();
    const ContextScope scope(core, datagram.context);
    if (!scope) {
        return false;
    }
    const std::size_t header = py::state().datagram_header;
    while (!datagram.unsent.empty()) {
        const Unsent first = datagram.unsent.pop_front();
        py::Ref data = py::Ref::steal(first.data);
        py::Ref address = py::Ref::steal(first.address);
        const std::size_t size = static_cast<std::size_t>(PyBytes_GET_SIZE(data.get())) + header;
        datagram.unsent_size -= size;
        const Sent sent = try_send(datagram, data.get(), address.get());
        if (sent == Sent::failed) {
            return handle_error(self, datagram, kFatal);
        }
        if (sent == Sent::blocked) {
            if (datagram.loss_scheduled) {
                return true;
            }
            if (!datagram.unsent.push_front({data.get(), address.get()})) {
                PyErr_NoMemory();
                return false;
            }
            (void)data.release();
            (void)address.release();
            datagram.unsent_size += size;
            break;
        }
    }
    if (!maybe_resume_writing(self, datagram.flow, datagram.unsent_size, datagram.loop.get(),
                              datagram.protocol.get())) {
        return false;
    }
    if (!datagram.unsent.empty()) {
        return true;
    }
    datagram.unsent = base::RingQueue<Unsent>(); // an idle transport keeps no memory for it
    unwatch_side(datagram, loop::Side::writer);
    return !datagram.closing || datagram.loss_scheduled || lose_connection(self, datagram, Py_None);
}

void drop_unsent(Datagram& datagram) noexcept {
    base::RingQueue<Unsent> unsent;
    unsent.swap(datagram.unsent);
    datagram.unsent_size = 0;
    while (!unsent.empty()) {
        const Unsent first = unsent.pop_front();
        py::drop(first.data);
        py::drop(first.address);
    }
}

} // namespace bucle::net
