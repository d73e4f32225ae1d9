// See python_socket.hpp. The descriptor is asked for by the function behind socket.fileno(): no
// layout of CPython's is assumed, and it costs less than looking the method up.
#include "net/python_socket.hpp"

#include "net/net.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/state.hpp"

#include <sys/socket.h>

namespace bucle::net {
namespace {

int option(int fd, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

} // namespace

int fd_of_socket(PyObject* socket) noexcept {
    if (PyObject_TypeCheck(socket, py::state().raw_socket_type) == 0) [[unlikely]] {
        return -1;
    }
    const py::Ref number = py::Ref::steal(py::state().socket_fileno(socket, nullptr));
    if (!number) { // no memory for a number
        PyErr_Clear();
        return -1;
    }
    return static_cast<int>(PyLong_AsLong(number.get()));
}

int family_of_socket(PyObject* socket) noexcept {
    return option(fd_of_socket(socket), SO_DOMAIN);
}

py::Ref adopt_socket(int fd) noexcept {
    const py::Ref socket = py::Ref::steal(
        PyObject_CallFunction(py::state().socket_class, "iiii", option(fd, SO_DOMAIN),
                              option(fd, SO_TYPE), option(fd, SO_PROTOCOL), fd));
    return socket && py::call_method(socket.get(), py::names().setblocking, Py_False)
               ? socket.clone()
               : py::Ref();
}

PyCFunction function_behind(PyObject* method) noexcept {
    if (method == nullptr || Py_TYPE(method) != &PyMethodDescr_Type) {
        return nullptr;
    }
    const PyMethodDef& def = *reinterpret_cast<PyMethodDescrObject*>(method)->d_method;
    return def.ml_flags == METH_NOARGS ? def.ml_meth : nullptr;
}

bool find_python_sockets() noexcept {
    py::State& state = py::state();
    const py::Ref raw = py::Ref::steal(PyImport_ImportModule("_socket"));
    const py::Ref type = raw ? py::get_attr(raw.get(), state.names.socket) : py::Ref();
    const py::Ref fileno = type ? py::get_attr(type.get(), state.names.fileno) : py::Ref();
    if (!fileno) {
        return false;
    }
    state.socket_fileno = function_behind(fileno.get());
    if (state.socket_fileno == nullptr) {
        return static_cast<bool>(py::raise_type_error("socket.fileno is no method written in C"));
    }
    state.raw_socket_type = reinterpret_cast<PyTypeObject*>(type.clone().release());
    return true;
}

} // namespace bucle::net
