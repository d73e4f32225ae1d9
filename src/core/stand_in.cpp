// See stand_in.hpp.
#include "core/stand_in.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

// The twin called with None for every argument: it only makes a coroutine.
py::Ref call_twin(const py::Function& function) noexcept {
    const py::Ref names = py::Ref::steal(PyTuple_GetSlice(
        function.names, function.positional, function.positional + function.keyword_only));
    py::ArgStack stack;
    for (int i = 0; names && i < function.positional + function.keyword_only; ++i) {
        if (!stack.add(Py_None)) {
            return {};
        }
    }
    return names ? py::Ref::steal(PyObject_Vectorcall(function.twin, stack.data(),
                                                      function.positional, names.get()))
                 : py::Ref();
}

} // namespace

PyObject* stand_in_of(py::Function& function) noexcept {
    if (function.stand_in == nullptr) {
        py::Ref made = call_twin(function);
        if (made && !PyCoro_CheckExact(made.get())) {
            PyErr_Format(PyExc_SystemError, "%R is not a coroutine function", function.twin);
            made.reset();
        }
        function.stand_in = made.release();
    }
    return function.stand_in;
}

} // namespace bucle::core
