// See waiter.hpp.
#include "sync/waiter.hpp"

#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::sync {

PyObject* bind_loop(PyObject* self, py::Ref& bound) noexcept {
    const py::Ref running = py::abi::running_loop();
    if (!running && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    PyObject* const loop = running ? running.get() : Py_None;
    if (!bound || bound == Py_None) {
        bound = py::Ref::borrow(loop);
    }
    if (bound.get() != loop) {
        PyErr_Format(PyExc_RuntimeError, "%R is bound to a different event loop", self);
        return nullptr;
    }
    return bound.get();
}

namespace {

bool is_ours(PyTypeObject* type) noexcept {
    const py::State::Twin* twin = py::state().twins;
    while (twin->native != nullptr && twin->native != type) {
        ++twin;
    }
    return twin->native != nullptr;
}

} // namespace

py::Ref make_waiter(PyObject* self, py::Ref& bound) noexcept {
    // A subclass may have a _get_loop() of its own.
    const py::Ref loop = is_ours(Py_TYPE(self)) ? py::Ref::borrow(bind_loop(self, bound))
                                                : py::call_method(self, py::names()._get_loop);
    if (loop == Py_None) {
        PyErr_SetString(PyExc_AttributeError, "'NoneType' object has no attribute 'create_future'");
        return {};
    }
    return loop ? core::make_future(loop.get()) : py::Ref();
}

} // namespace bucle::sync
