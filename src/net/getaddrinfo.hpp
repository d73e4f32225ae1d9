// loop.getaddrinfo: see getaddrinfo.cpp.
#pragma once

namespace bucle::net {

[[nodiscard]] bool add_getaddrinfo() noexcept;

} // namespace bucle::net
