// The only file that knows libuv's versions: every UV_VERSION_HEX conditional lives here.
//
// Why: the rest of the room is written against one libuv, the oldest that is supported, 1.44
// (Debian 12).
#pragma once

#include <unistd.h>
#include <uv.h>

#define BUCLE_UV_VERSION(major, minor, patch) (((major) << 16) | ((minor) << 8) | (patch))

#if UV_VERSION_HEX < BUCLE_UV_VERSION(1, 44, 0)
#error "bucle needs libuv 1.44 or newer (apt install libuv1-dev)"
#endif

namespace bucle::uv {

// After a failed uv_loop_init. Before 1.51 libuv left its epoll descriptor open when there was none
// for the rest. Only these two errors say that the field was set: an early one leaves it at zero.
inline void clean_up_failed_init(const uv_loop_t* loop, int error) noexcept {
    constexpr unsigned kFixed = 0x01'33'00;
    if (uv_version() < kFixed && (error == UV_EMFILE || error == UV_ENFILE) &&
        loop->backend_fd > 0) {
        ::close(loop->backend_fd);
    }
}

} // namespace bucle::uv
