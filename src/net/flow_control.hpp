// FlowControl: when a protocol is told to pause and to resume writing, by asyncio's two marks.
//
// The methods that set and show the marks stay asyncio's own (_FlowControlMixin, a base of our
// transports): they run once a connection, over the properties of FlowSlots. Native is the question
// after each write whether a mark was passed, and the call of the protocol.
#pragma once

#include "py/ref.hpp"

#include <cstdint>

namespace bucle::net {

struct FlowControl {
    // In bytes. Any number may be given: one that is no int of this size is kept as well.
    struct Mark {
        std::int64_t bytes;
        py::Ref given;
    };
    Mark high = {std::int64_t{64} * 1024, {}};
    Mark low = {std::int64_t{16} * 1024, {}};
    bool paused = false;

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = high.given.visit(visitor, arg);
        return stop != 0 ? stop : low.given.visit(visitor, arg);
    }
    void clear() noexcept {
        high.given.reset();
        low.given.reset();
    }
};

// What the protocol raises is told to the loop's exception handler. False with an error set: of
// what that lets out.
[[nodiscard]] bool pause_writing(PyObject* transport, FlowControl& flow, PyObject* loop,
                                 PyObject* protocol) noexcept;
[[nodiscard]] bool resume_writing(PyObject* transport, FlowControl& flow, PyObject* loop,
                                  PyObject* protocol) noexcept;

// After the buffer has grown to `size`, or shrunk.
[[nodiscard]] inline bool maybe_pause_writing(PyObject* transport, FlowControl& flow,
                                              std::size_t size, PyObject* loop,
                                              PyObject* protocol) noexcept {
    return static_cast<std::int64_t>(size) <= flow.high.bytes || flow.paused ||
           pause_writing(transport, flow, loop, protocol);
}
[[nodiscard]] inline bool maybe_resume_writing(PyObject* transport, FlowControl& flow,
                                               std::size_t size, PyObject* loop,
                                               PyObject* protocol) noexcept {
    return !flow.paused || static_cast<std::int64_t>(size) > flow.low.bytes ||
           resume_writing(transport, flow, loop, protocol);
}

PyObject* get_mark(const FlowControl::Mark& mark) noexcept;
int set_mark(FlowControl::Mark& mark, PyObject* value) noexcept; // as a property's setter
int set_paused(FlowControl& flow, PyObject* value) noexcept;

// The rows _high_water, _low_water and _protocol_paused of a type, whose instance's FlowControl is
// `Of(self)`.
template <FlowControl& (*Of)(PyObject*) noexcept>
struct FlowSlots {
    static PyObject* get_high(PyObject* self, void*) noexcept { return get_mark(Of(self).high); }
    static PyObject* get_low(PyObject* self, void*) noexcept { return get_mark(Of(self).low); }
    static int set_high(PyObject* self, PyObject* value, void*) noexcept {
        return set_mark(Of(self).high, value);
    }
    static int set_low(PyObject* self, PyObject* value, void*) noexcept {
        return set_mark(Of(self).low, value);
    }
    static PyObject* get_paused(PyObject* self, void*) noexcept {
        return PyBool_FromLong(Of(self).paused);
    }
    static int set_paused(PyObject* self, PyObject* value, void*) noexcept {
        return net::set_paused(Of(self), value);
    }
    static constexpr PyGetSetDef kHigh = {"_high_water", get_high, set_high, nullptr, nullptr};
    static constexpr PyGetSetDef kLow = {"_low_water", get_low, set_low, nullptr, nullptr};
    static constexpr PyGetSetDef kPaused = {"_protocol_paused", get_paused, set_paused, nullptr,
                                            nullptr};
};

} // namespace bucle::net
