// What a transport says of its errors, in asyncio's words and through asyncio's logger: those that
// a peer can cause are worth a line in debug mode only, all others are told to the loop's
// exception handler.
#pragma once

#include "py/ref.hpp"

namespace bucle::net {

// Which errors are no more than a line of debugging.
enum class Expected {
    os_errors, // of a socket, or of a pipe that is written
    eio,       // of a pipe that is read: a terminal's other end has gone
};

// The module whose `logger` is used, since it can be replaced there.
inline constexpr const char* kSocketLog = "asyncio.selector_events";
inline constexpr const char* kPipeLog = "asyncio.unix_events";

// asyncio's _fatal_error() without its end, which closes the transport. False with an error set.
[[nodiscard]] bool report_fatal_error(PyObject* transport, PyObject* loop, PyObject* protocol,
                                      PyObject* error, const char* message, Expected expected,
                                      const char* module) noexcept;

// logger.level(format, first, second); null arguments are none, `error` is the exc_info. False with
// an error set.
[[nodiscard]] bool log(const char* module, const char* level, const char* format,
                       PyObject* first = nullptr, PyObject* second = nullptr,
                       PyObject* error = nullptr) noexcept;

// Counts a write after the connection was lost, and warns of too many.
[[nodiscard]] bool count_lost_write(std::size_t& lost, const char* module,
                                    const char* warning) noexcept;

// OSError of errno's value, or of its subclass; null with an error set.
py::Ref os_error(int error) noexcept;

} // namespace bucle::net
