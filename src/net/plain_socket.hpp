// A plain socket: exactly a socket.socket whose class has the methods that it came with. Its calls
// can be made on the descriptor itself, without an object per attempt: what costs most of an
// attempt that would block is the BlockingIOError that says so.
//
// Only a non-blocking one is called directly: the socket's own methods wait for the others.
#pragma once

#include "py/ref.hpp"

namespace bucle::net {

enum class Outcome { done, blocked, failed }; // failed: an error is set

// The descriptor of a plain socket that is open and does not block, else -1 without an error.
[[nodiscard]] int direct_fd(PyObject* sock) noexcept;
[[nodiscard]] bool is_plain_socket(PyObject* sock) noexcept;
// sock.fileno(); null with an error set.
py::Ref fileno_of(PyObject* sock) noexcept;

// recv(2) and send(2). They keep the GIL for what is copied in a few microseconds.
[[nodiscard]] Outcome receive_into(int fd, void* at, Py_ssize_t size, Py_ssize_t& got) noexcept;
[[nodiscard]] Outcome send_from(int fd, const void* from, Py_ssize_t size,
                                Py_ssize_t& sent) noexcept;
// bytes of at most `size`, which is at most kMostBytes.
constexpr Py_ssize_t kMostBytes = 65536;
[[nodiscard]] Outcome receive_bytes(int fd, Py_ssize_t size, py::Ref& result) noexcept;

// What a method of a socket gave, null with an error set: asyncio tries again after two of them.
[[nodiscard]] Outcome outcome_of(py::Ref given, py::Ref& result) noexcept;

[[nodiscard]] bool find_plain_sockets() noexcept;

} // namespace bucle::net
