// See flow_control.hpp.
#include "net/flow_control.hpp"

#include "loop/loop.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cmath>

namespace bucle::net {
namespace {

bool tell(PyObject* transport, PyObject* loop, PyObject* protocol, PyObject* method,
          const char* complaint) noexcept {
    const py::Ref held_loop = py::Ref::borrow(loop);
    const py::Ref held = py::Ref::borrow(protocol);
    if (!held || !held_loop) {
        return true;
    }
    const loop::ProtocolCall call(*loop::loop_core(held_loop.get()));
    if (py::call_method(held.get(), method)) [[likely]] {
        return true;
    }
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    const py::Names& names = py::names();
    const py::Handling handled(error.get());
    return core::report_to_loop(held_loop.get(), py::Ref::steal(PyUnicode_FromString(complaint)),
                                {{names.exception, error.get()},
                                 {names.transport, transport},
                                 {names.protocol, held.get()}});
}

} // namespace

bool pause_writing(PyObject* transport, FlowControl& flow, PyObject* loop,
                   PyObject* protocol) noexcept {
    flow.paused = true;
    return tell(transport, loop, protocol, py::names().pause_writing,
                "protocol.pause_writing() failed");
}

bool resume_writing(PyObject* transport, FlowControl& flow, PyObject* loop,
                    PyObject* protocol) noexcept {
    flow.paused = false;
    return tell(transport, loop, protocol, py::names().resume_writing,
                "protocol.resume_writing() failed");
}

PyObject* get_mark(const FlowControl::Mark& mark) noexcept {
    return mark.given ? py::new_ref(mark.given.get()) : PyLong_FromLongLong(mark.bytes);
}

int set_mark(FlowControl::Mark& mark, PyObject* value) noexcept {
    if (value == nullptr) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    int overflow = 0;
    if (PyLong_CheckExact(value)) {
        const long long bytes = PyLong_AsLongLongAndOverflow(value, &overflow);
        mark.bytes = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : bytes;
        mark.given = overflow != 0 ? py::Ref::borrow(value) : py::Ref();
        return 0;
    }
    const double bytes = PyFloat_AsDouble(value);
    if (bytes == -1 && PyErr_Occurred() != nullptr) {
        return -1;
    }
    constexpr double kLimit = 9e18; // sizes are whole: below a mark means below its floor
    mark.bytes = bytes > kLimit    ? INT64_MAX
                 : bytes < -kLimit ? INT64_MIN
                                   : static_cast<std::int64_t>(std::floor(bytes));
    mark.given = py::Ref::borrow(value);
    return 0;
}

int set_paused(FlowControl& flow, PyObject* value) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    flow.paused = truth > 0;
    return truth < 0 ? -1 : 0;
}

} // namespace bucle::net
