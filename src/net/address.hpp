// Socket addresses of the families that datagrams usually have, as Python's socket module makes
// them and reads them. Whatever is unusual (names to resolve, other families) is left to that
// module.
#pragma once

#include "py/ref.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace bucle::net {

struct SocketAddress {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
        sockaddr_un path;
    };
    socklen_t length = 0;

    // Left unset: there are many on the stack, and the kernel fills them.
    SocketAddress() noexcept {} // NOLINT(modernize-use-equals-default)
};

[[nodiscard]] constexpr bool is_known_family(int family) noexcept {
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

// The tuple, str or bytes; None for no address. Null with an error set.
py::Ref address_object(const SocketAddress& address) noexcept;

// False, with no error set: not of the plain form that needs no resolving.
[[nodiscard]] bool parse_address(int family, PyObject* object, SocketAddress& out) noexcept;

} // namespace bucle::net
