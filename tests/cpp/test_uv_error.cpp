// Status: success, an errno, and libuv's own codes that have none.
#include "uv/error.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <initializer_list>

using bucle::uv::Status;

TEST_CASE("a Status is success for zero and for libuv's positive results") {
    for (const Status status : {Status(), Status(0), Status(7)}) {
        CHECK(status.ok());
        CHECK(static_cast<bool>(status));
        CHECK(status.code() == 0);
        CHECK(status.errnum() == 0);
    }
}

TEST_CASE("a system error is its errno") {
    for (const int errnum : {EBADF, EPERM, ECONNREFUSED, EADDRINUSE}) {
        const Status status = Status(-errnum);
        CHECK_FALSE(status.ok());
        CHECK(status.errnum() == errnum);
        CHECK(status.code() == -errnum);
    }
}

TEST_CASE("what only libuv knows has no errno") {
    for (const int code : {UV_EOF, UV_UNKNOWN, UV_EAI_NONAME, UV_EAI_ADDRFAMILY, UV_EAI_MEMORY}) {
        CHECK_FALSE(Status(code).ok());
        CHECK(Status(code).errnum() == 0);
    }
}
