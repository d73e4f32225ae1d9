// Datagram: the fields of DatagramTransport, and what its files share.
//
// Invariants: packets that were received with others, but may not be delivered yet (reading was
// paused, or the protocol raised), stand in `held` and are delivered before anything else is read.
// A socket that is no plain socket.socket, or whose addresses are of a family that we do not know,
// is `foreign`: its own methods are called, by name.
#pragma once

#include "base/ring_queue.hpp"
#include "net/endpoint.hpp"
#include "net/errors.hpp"
#include "net/peer_cache.hpp"

namespace bucle::net {

struct Packet {
    py::Ref data;
    py::Ref address;
    SocketAddress peer;
};

// What could not be sent yet; owned.
struct Unsent {
    PyObject* data;
    PyObject* address;
};

struct Datagram : Endpoint {
    static constexpr const char* kLog = kSocketLog;
    [[nodiscard]] static bool start_reading(PyObject* self) noexcept;

    FlowControl flow;
    PeerCache peers;
    py::Ref address; // of the remote end, as it was given
    py::Ref sent_to; // the last address that was parsed, and what it is
    SocketAddress sent_to_peer;
    base::Growable<Packet> held;
    base::RingQueue<Unsent> unsent;
    std::size_t unsent_size = 0;
    std::size_t max_size = kMaxSize;
    const Packet* delivering = nullptr;
    int family = 0;
    unsigned batch = 1; // how many packets to ask for
    bool foreign = false;
    bool connected = false;   // asyncio's: peername is true
    bool has_address = false; // likewise: address is true

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;
};

inline constexpr const char* kDatagramReader = "DatagramTransport._read_ready";
inline constexpr const char* kDatagramWriter = "DatagramTransport._sendto_ready";

inline Datagram& datagram_of(PyObject* self) noexcept {
    return endpoint_of<Datagram>(self);
}

// datagram_read.cpp
[[nodiscard]] bool datagram_read_ready(PyObject* self) noexcept;

// datagram_write.cpp
PyObject* datagram_sendto(py::Function&, PyObject* const* args) noexcept;
[[nodiscard]] bool datagram_write_ready(PyObject* self) noexcept;
void drop_unsent(Datagram& datagram) noexcept;

// datagram_type.cpp
// Takes an exception that is raised: OSErrors go to the protocol, others end the transport. False
// with an error set.
[[nodiscard]] bool handle_error(PyObject* self, Datagram& datagram, const char* message) noexcept;
[[nodiscard]] bool force_close(PyObject* self, Datagram& datagram, PyObject* error) noexcept;

} // namespace bucle::net
