// The fields of the two pipe transports. What counts as a pipe is asyncio's: a fifo, a socket or a
// character device; it is made non-blocking.
#pragma once

#include "net/endpoint.hpp"
#include "net/errors.hpp"
#include "net/write_buffer.hpp"

namespace bucle::net {

struct ReadPipe : Endpoint {
    static constexpr const char* kLog = kPipeLog;
    [[nodiscard]] static bool start_reading(PyObject* self) noexcept;

    std::size_t max_size = kMaxSize;
};

struct WritePipe : Endpoint {
    static constexpr const char* kLog = kPipeLog;
    // The closing of the other end is watched for even if ours is to be closed when all is written.
    [[nodiscard]] static bool start_reading(PyObject* self) noexcept;

    FlowControl flow;
    WriteBuffer buffer;

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = Endpoint::visit(visitor, arg);
        return stop != 0 ? stop : flow.visit(visitor, arg);
    }
    void clear() noexcept {
        Endpoint::clear();
        flow.clear();
        buffer.clear();
    }
};

// loop._make_{read,write}_pipe_transport(pipe, protocol, waiter=None, extra=None) for a new
// transport: its fields, the pipe's descriptor, checked and non-blocking, and what is to be
// scheduled. A character device is watched for reading only if it is there to be read. False with
// an error set.
[[nodiscard]] bool open_pipe(PyObject* self, Endpoint& endpoint, PyObject* const* args,
                             const char* refusal, bool reads) noexcept;

[[nodiscard]] bool make_read_pipe_type(PyObject* module) noexcept;
[[nodiscard]] bool make_write_pipe_type(PyObject* module) noexcept;

} // namespace bucle::net
