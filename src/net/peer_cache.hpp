// PeerCache: the tuples of peers that were seen lately. Making one takes longer than receiving a
// packet's worth of bytes. One peer costs nothing more, a second one a table.
#pragma once

#include "net/address.hpp"

#include <memory>

namespace bucle::net {

class PeerCache {
  public:
    PeerCache() noexcept = default;
    PeerCache(const PeerCache&) = delete;
    PeerCache& operator=(const PeerCache&) = delete;
    ~PeerCache() = default;

    py::Ref object_of(const SocketAddress& address) noexcept;
    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;

  private:
    struct Entry {
        SocketAddress address;
        py::Ref object;

        bool holds(const SocketAddress& other) const noexcept;
    };
    static constexpr std::size_t kEntries = 64;

    Entry& entry_for(const SocketAddress& address) noexcept;

    Entry first_;
    std::unique_ptr<Entry[]> table_;
};

} // namespace bucle::net
