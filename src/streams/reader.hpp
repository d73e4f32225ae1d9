// Reader: the fields of a StreamReader, and how it is fed. Its coroutines are in reading.cpp.
// Invariant: asyncio's, that whoever waits is the one future in `waiter`, and that the transport is
// paused while more than twice the limit waits to be read.
#pragma once

#include "streams/buffer.hpp"
#include "streams/hooks.hpp"
#include "sync/primitive.hpp"

namespace bucle::streams {

struct Reader {
    static constexpr Py_ssize_t kAskObject = -1; // the limit is no int that is sensible

    Buffer buffer;
    py::Ref limit; // as it was given
    py::Ref loop;
    py::Ref waiter; // null: None, as in the next two
    py::Ref exception;
    py::Ref transport;
    Py_ssize_t limit_value = kAskObject;
    bool eof = false;
    bool paused = false;

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&limit, &loop, &waiter, &exception, &transport}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return buffer.visit(visitor, arg);
    }
    void clear() noexcept {
        buffer.replace(nullptr);
        for (py::Ref* ref : {&limit, &loop, &waiter, &exception, &transport}) {
            ref->reset();
        }
    }
};

inline Reader& reader_of(PyObject* self) noexcept {
    return sync::core_of<Reader>(self);
}

// The body of a native function may do it all itself.
inline bool is_plain(PyObject* self) noexcept {
    return reader_of(self).limit_value != Reader::kAskObject && acts_natively(self);
}

// feed_data(), feed_eof(), set_exception(), set_transport() on any reader, by name where that is
// called for. False with an error set.
[[nodiscard]] bool feed(PyObject* reader, const char* data, std::size_t size) noexcept;
[[nodiscard]] bool feed_bytes(PyObject* reader, PyObject* data) noexcept;
[[nodiscard]] bool feed_eof(PyObject* reader) noexcept;
[[nodiscard]] bool set_exception(PyObject* reader, PyObject* error) noexcept;
[[nodiscard]] bool set_transport(PyObject* reader, PyObject* transport) noexcept;
// exception(): None, or what it is; null with an error set.
py::Ref exception_of(PyObject* reader) noexcept;

// `size` is more than the limit: 1, 0, or -1 with an error set.
[[nodiscard]] int exceeds_limit(const Reader& reader, Py_ssize_t size) noexcept;
// self._maybe_resume_transport()
[[nodiscard]] bool maybe_resume(Reader& reader) noexcept;
[[nodiscard]] bool resume(Reader& reader) noexcept;

// `raise error`, whatever object it is (reading.cpp).
void raise_any(py::Ref error) noexcept;

// A row for each coroutine function (reading.cpp).
extern const py::FunctionRow reading_functions[];
[[nodiscard]] bool make_newline() noexcept;

} // namespace bucle::streams
