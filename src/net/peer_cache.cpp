// See peer_cache.hpp.
#include "net/peer_cache.hpp"

#include <arpa/inet.h>

#include <cstring>
#include <new>

namespace bucle::net {

bool PeerCache::Entry::holds(const SocketAddress& other) const noexcept {
    return object && address.length == other.length &&
           std::memcmp(&address, &other, other.length) == 0;
}

// The first peer, and paths, have `first_`; others a place by port and the end of the number.
PeerCache::Entry& PeerCache::entry_for(const SocketAddress& address) noexcept {
    const bool is_v6 = address.any.sa_family == AF_INET6;
    if (!first_.object || first_.holds(address) || (!is_v6 && address.any.sa_family != AF_INET)) {
        return first_;
    }
    if (!table_) {
        table_.reset(new (std::nothrow) Entry[kEntries]);
        if (!table_) {
            return first_;
        }
    }
    std::uint32_t number = address.v4.sin_addr.s_addr;
    std::uint16_t port = address.v4.sin_port;
    if (is_v6) {
        std::memcpy(&number, &address.v6.sin6_addr.s6_addr[12], sizeof number);
        port = address.v6.sin6_port;
    }
    const std::uint32_t mixed = (number ^ (number >> 24U)) + ntohs(port) * 31U;
    return table_[(mixed ^ (mixed >> 16U)) % kEntries];
}

py::Ref PeerCache::object_of(const SocketAddress& address) noexcept {
    if (address.length < sizeof(sa_family_t)) {
        return py::none();
    }
    Entry& entry = entry_for(address);
    if (entry.holds(address)) {
        return entry.object.clone();
    }
    py::Ref object = address_object(address);
    if (object) {
        std::memcpy(static_cast<void*>(&entry.address), &address, address.length);
        entry.address.length = address.length;
        entry.object = object.clone();
    }
    return object;
}

int PeerCache::visit(visitproc visitor, void* arg) const noexcept {
    if (const int stop = first_.object.visit(visitor, arg); stop != 0 || !table_) {
        return stop;
    }
    for (std::size_t i = 0; i != kEntries; ++i) {
        if (const int stop = table_[i].object.visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void PeerCache::clear() noexcept {
    first_.object.reset();
    for (std::size_t i = 0; table_ && i != kEntries; ++i) {
        table_[i].object.reset();
    }
}

} // namespace bucle::net
