// The fields of the two pipe transports. What counts as a pipe is asyncio's: a fifo, a socket or a
// character device; it is made non-blocking.
#pragma once

#include "net/endpoint.hpp"
#include "net/flow_control.hpp"
#include "net/write_buffer.hpp"

namespace bucle::net {

struct ReadPipe : Endpoint {};

struct WritePipe : Endpoint {
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

// Opens `pipe` for a transport: its descriptor, checked and non-blocking. `watched`: whether its
// closing by the other end can be seen by watching it for reading. False with an error set.
[[nodiscard]] bool open_pipe(Endpoint& endpoint, PyObject* pipe, const char* refusal,
                             bool* watched) noexcept;

[[nodiscard]] bool make_read_pipe_type(PyObject* module) noexcept;
[[nodiscard]] bool make_write_pipe_type(PyObject* module) noexcept;

} // namespace bucle::net
