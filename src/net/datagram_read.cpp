// Receiving datagrams: one recvmmsg() brings what has arrived, so that a burst takes few system
// calls and a single packet takes no second one to learn that there are no more. All of it is
// copied out of the loop's scratch buffer before the protocol is called, which may do anything.
#include "net/context_scope.hpp"
#include "net/datagram.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <algorithm>
#include <cerrno>

namespace bucle::net {
namespace {

constexpr unsigned kAtOnce = 16;
constexpr unsigned kFirst = 4;
// No IP datagram is longer. One of a Unix socket may be: there are fewer and larger slots for them.
constexpr std::size_t kIpSlot = std::size_t{64} * 1024;
// Slots begin at different sets of the cache.
constexpr std::size_t kStagger = 192;

struct Slots {
    std::size_t size;
    unsigned count;

    std::size_t stride() const noexcept { return size + kStagger; }
};

Slots slots_for(const Datagram& datagram) noexcept {
    const bool ip = datagram.family != AF_UNIX;
    if (!ip && datagram.max_size > kMaxSize) {
        return {datagram.max_size, 1};
    }
    return {std::min(datagram.max_size, ip ? kIpSlot : kMaxSize),
            std::min(datagram.batch, ip ? kAtOnce : kFirst)};
}

// The number of packets; -1: errno says why there are none.
int receive(const Datagram& datagram, char* memory, Slots slots, Packet* packets,
            std::size_t* sizes) noexcept {
    mmsghdr headers[kAtOnce];
    iovec vectors[kAtOnce];
    for (unsigned i = 0; i != slots.count; ++i) {
        vectors[i] = {memory + i * slots.stride(), slots.size};
        msghdr& header = headers[i].msg_hdr;
        header = {};
        header.msg_name = &packets[i].peer;
        header.msg_namelen = sizeof packets[i].peer.path;
        header.msg_iov = &vectors[i];
        header.msg_iovlen = 1;
    }
    int received = 0;
    do {
        received = recvmmsg(datagram.fd, headers, slots.count, MSG_DONTWAIT, nullptr);
    } while (received < 0 && errno == EINTR);
    for (int i = 0; i < received; ++i) {
        sizes[i] = headers[i].msg_len;
        packets[i].peer.length = headers[i].msg_hdr.msg_namelen;
    }
    return received;
}

bool hold(Datagram& datagram, Packet* packets, std::size_t count) noexcept {
    for (std::size_t i = 0; i != count; ++i) {
        if (!datagram.held.push_back(std::move(packets[i]))) {
            PyErr_NoMemory();
            return false;
        }
    }
    return true;
}

// What stays undelivered because the protocol raised comes up again by the ready ring.
bool hold_for_next_turn(Datagram& datagram, Packet* packets, std::size_t count) noexcept {
    const py::ErrorScope keep;
    if (count == 0 || datagram.closing || !datagram.loop) {
        return true;
    }
    return hold(datagram, packets, count) && datagram.reader &&
           core::push_ready(datagram.core(), core::ReadyKind::readiness, datagram.reader.clone());
}

bool deliver(Datagram& datagram, Packet* packets, std::size_t count) noexcept {
    PyObject* const method = py::names().datagram_received;
    for (std::size_t i = 0; i != count; ++i) {
        if (!datagram.reading()) [[unlikely]] {
            return datagram.closing || hold(datagram, packets + i, count - i);
        }
        const py::Ref protocol = datagram.protocol.clone();
        const Packet* const outer = std::exchange(datagram.delivering, packets + i);
        const bool ok = !protocol || py::call_method(protocol.get(), method, packets[i].data.get(),
                                                     packets[i].address.get());
        datagram.delivering = outer;
        if (!ok) [[unlikely]] {
            (void)hold_for_next_turn(datagram, packets + i + 1, count - i - 1);
            return false;
        }
    }
    return true;
}

// From a socket that is not ours to read: one packet, as asyncio does it.
bool read_by_name(PyObject* self, Datagram& datagram) noexcept {
    const py::Ref file = datagram.file.clone();
    const py::Ref size = py::Ref::steal(PyLong_FromSize_t(datagram.max_size));
    const py::Ref received =
        size ? py::call_method(file.get(), py::names().recvfrom, size.get()) : py::Ref();
    const py::Ref pair = received ? py::Ref::steal(PySequence_Tuple(received.get())) : py::Ref();
    if (!pair) {
        return handle_error(self, datagram, "Fatal read error on datagram transport");
    }
    if (PyTuple_GET_SIZE(pair.get()) != 2) {
        (void)py::raise_value_error("recvfrom() must return the data and the address");
        return handle_error(self, datagram, "Fatal read error on datagram transport");
    }
    const py::Ref protocol = datagram.protocol.clone();
    return !protocol ||
           py::call_method(protocol.get(), py::names().datagram_received,
                           PyTuple_GET_ITEM(pair.get(), 0), PyTuple_GET_ITEM(pair.get(), 1));
}

} // namespace

bool datagram_read_ready(PyObject* self) noexcept {
    Datagram& datagram = datagram_of(self);
    if (datagram.conn_lost != 0 || !datagram.loop) {
        return true;
    }
    loop::LoopCore& core = datagram.core();
    const ContextScope scope(core, datagram.context);
    if (!scope) {
        return false;
    }
    if (!datagram.held.empty()) [[unlikely]] {
        base::Growable<Packet> held;
        held.swap(datagram.held);
        return deliver(datagram, held.begin(), held.size());
    }
    if (datagram.foreign) {
        return read_by_name(self, datagram);
    }
    const Slots slots = slots_for(datagram);
    char* const memory = scratch(core, slots.stride() * slots.count);
    Packet packets[kAtOnce];
    std::size_t sizes[kAtOnce];
    const int received = memory == nullptr ? -1 : receive(datagram, memory, slots, packets, sizes);
    if (received < 0) {
        if (memory != nullptr) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return true;
            }
            (void)py::raise_os_error(errno);
        }
        return handle_error(self, datagram, "Fatal read error on datagram transport");
    }
    const auto count = static_cast<std::size_t>(received);
    datagram.batch = count == slots.count ? kAtOnce : kFirst;
    for (std::size_t i = 0; i != count; ++i) {
        packets[i].data = py::Ref::steal(PyBytes_FromStringAndSize(
            memory + i * slots.stride(), static_cast<Py_ssize_t>(sizes[i])));
    }
    for (std::size_t i = 0; i != count; ++i) {
        packets[i].address = datagram.peers.object_of(packets[i].peer);
        if (!packets[i].data || !packets[i].address) {
            return handle_error(self, datagram, "Fatal read error on datagram transport");
        }
    }
    return deliver(datagram, packets, count);
}

bool Datagram::start_reading(PyObject* self) noexcept {
    Datagram& datagram = datagram_of(self);
    if (!datagram.loop || !datagram.reading()) {
        return true;
    }
    return watch_side(self, datagram, loop::Side::reader, datagram_read_ready, kDatagramReader) &&
           (datagram.held.empty() ||
            core::push_ready(datagram.core(), core::ReadyKind::readiness, datagram.reader.clone()));
}

} // namespace bucle::net
