// Status: what a libuv call answered, zero or a negative code, and what it is as an errno.
//
// Invariant: code() <= 0; positive results of libuv (byte counts, "still alive") are not a Status.
// Why a type: libuv's ints are easy to drop, and a dropped one is an error that nobody sees.
// On Unix libuv's codes are negated errno values, except for a few of its own (end of file,
// resolver errors), which have no errno.
#pragma once

#include "uv/compat.hpp"

namespace bucle::uv {

class [[nodiscard]] Status {
  public:
    constexpr Status() noexcept = default;
    // From a libuv result; a positive one is success.
    constexpr explicit Status(int result) noexcept : code_(result < 0 ? result : 0) {}

    [[nodiscard]] constexpr bool ok() const noexcept { return code_ == 0; }
    constexpr explicit operator bool() const noexcept { return ok(); }
    [[nodiscard]] constexpr int code() const noexcept { return code_; }

    // The errno for an OSError; 0 for success and for what only libuv knows.
    [[nodiscard]] constexpr int errnum() const noexcept {
        return code_ > kFirstOwnCode ? -code_ : 0;
    }

  private:
    // UV_EAI_ADDRFAMILY; all of libuv's own codes lie at it or below.
    static constexpr int kFirstOwnCode = UV_EAI_ADDRFAMILY;

    int code_ = 0;
};

} // namespace bucle::uv
