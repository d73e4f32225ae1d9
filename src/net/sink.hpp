// Sink: how a transport hands what it read to a native protocol without a call through Python. A
// protocol type that offers one registers it with its type; a transport asks once, when it gets its
// protocol, and calls the protocol's methods by name where there is none. Exact types only: a
// subclass may override what the sink would pass by.
//
// Each function does what the protocol's method of that meaning does, in the transport's context,
// and returns false with an error set where the method would raise.
#pragma once

#include "py/state.hpp"

namespace bucle::net {

struct Sink {
    // data_received(): bytes in memory of the transport's, which are copied; never none.
    bool (*data)(PyObject* protocol, const char* data, std::size_t size) noexcept;
    // The same for a finished bytes object, which is kept and not copied.
    bool (*bytes)(PyObject* protocol, PyObject* data) noexcept;
    // eof_received(); `keep_open` gets what it answers.
    bool (*eof)(PyObject* protocol, bool& keep_open) noexcept;
    bool (*pause_writing)(PyObject* protocol) noexcept;
    bool (*resume_writing)(PyObject* protocol) noexcept;
};

// The sink of the protocol's exact type, or null.
inline const Sink* sink_of(PyObject* protocol) noexcept {
    for (const py::State::SinkRow* row = py::state().sinks; row->type != nullptr; ++row) {
        if (row->type == Py_TYPE(protocol)) {
            return static_cast<const Sink*>(row->sink);
        }
    }
    return nullptr;
}

// To be called when the type is made; `sink` lives as long as the process.
inline void offer_sink(PyTypeObject* type, const Sink& sink) noexcept {
    py::State::SinkRow* row = py::state().sinks;
    while (row->type != nullptr) {
        ++row;
    }
    if (row == py::state().sinks + py::State::kMaxSinks) {
        Py_FatalError("bucle: more sinks than py::State has room for");
    }
    *row = {type, &sink};
}

} // namespace bucle::net
