// Writer: what a protocol needs to make one for its callback.
#pragma once

#include "py/ref.hpp"

namespace bucle::streams {

// StreamWriter(transport, protocol, reader, loop), `reader` null for None.
py::Ref make_writer(PyObject* transport, PyObject* protocol, PyObject* reader,
                    PyObject* loop) noexcept;

} // namespace bucle::streams
