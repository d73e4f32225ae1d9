// See python_socket.hpp. The descriptor is read where socket objects keep it: one probe of a real
// socket tells whether they are laid out as they have always been.
#include "net/python_socket.hpp"

#include "net/net.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/state.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace bucle::net {
namespace {

// The beginning of PySocketSockObject.
struct SocketFields {
    PyObject_HEAD int fd;
    int family;
    int type;
    int protocol;
};

const SocketFields& fields_of_socket(PyObject* socket) noexcept {
    return *reinterpret_cast<const SocketFields*>(socket);
}

long number(PyObject* object, const char* name) noexcept {
    const py::Ref value = py::Ref::steal(PyObject_GetAttrString(object, name));
    const long result = value ? PyLong_AsLong(value.get()) : -1;
    PyErr_Clear();
    return result;
}

int ask_for_fd(PyObject* socket) noexcept {
    const py::ErrorScope keep;
    const py::Ref value = py::call_method(socket, py::names().fileno);
    const long fd = value ? PyLong_AsLong(value.get()) : -1;
    PyErr_Clear();
    return static_cast<int>(fd);
}

int option(int fd, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

py::Ref internet_address(int family, const void* host, int port) noexcept {
    char text[INET6_ADDRSTRLEN];
    if (::inet_ntop(family, host, text, sizeof text) == nullptr) {
        (void)py::raise_os_error(errno);
        return {};
    }
    return py::Ref::steal(Py_BuildValue("(si)", text, port));
}

py::Ref unix_address(const sockaddr_un& address, socklen_t size) noexcept {
    const std::size_t start = offsetof(sockaddr_un, sun_path);
    const std::size_t length = size > start ? size - start : 0;
    if (length > 0 && address.sun_path[0] == '\0') { // abstract
        return py::Ref::steal(
            PyBytes_FromStringAndSize(address.sun_path, static_cast<Py_ssize_t>(length)));
    }
    return py::Ref::steal(PyUnicode_DecodeFSDefaultAndSize(
        address.sun_path, static_cast<Py_ssize_t>(::strnlen(address.sun_path, length))));
}

} // namespace

bool is_python_socket(PyObject* object) noexcept {
    return PyObject_TypeCheck(object, py::state().raw_socket_type);
}

int fd_of_socket(PyObject* socket) noexcept {
    return py::state().socket_layout_known ? fields_of_socket(socket).fd : ask_for_fd(socket);
}

int family_of_socket(PyObject* socket) noexcept {
    return option(fd_of_socket(socket), SO_DOMAIN);
}

py::Ref adopt_socket(int fd) noexcept {
    const py::Ref socket = py::Ref::steal(
        PyObject_CallFunction(py::state().socket_class, "iiii", option(fd, SO_DOMAIN),
                              option(fd, SO_TYPE), option(fd, SO_PROTOCOL), fd));
    return socket && py::call_method(socket.get(), py::names().setblocking, Py_False) ? socket.clone()
                                                                                : py::Ref();
}

py::Ref python_address(const sockaddr* address, socklen_t size) noexcept {
    switch (size == 0 ? AF_UNSPEC : address->sa_family) {
    case AF_INET: {
        const auto& inet = *reinterpret_cast<const sockaddr_in*>(address);
        return internet_address(AF_INET, &inet.sin_addr, ntohs(inet.sin_port));
    }
    case AF_INET6: {
        const auto& inet = *reinterpret_cast<const sockaddr_in6*>(address);
        char text[INET6_ADDRSTRLEN];
        if (::inet_ntop(AF_INET6, &inet.sin6_addr, text, sizeof text) == nullptr) {
            (void)py::raise_os_error(errno);
            return {};
        }
        return py::Ref::steal(Py_BuildValue("(siII)", text, ntohs(inet.sin6_port),
                                            ntohl(inet.sin6_flowinfo), inet.sin6_scope_id));
    }
    case AF_UNIX:
        return unix_address(*reinterpret_cast<const sockaddr_un*>(address), size);
    default:
        return {};
    }
}

bool find_socket_layout() noexcept {
    py::State& state = py::state();
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("socket"));
    const py::Ref raw = py::Ref::steal(PyImport_ImportModule("_socket"));
    state.socket_class =
        module ? PyObject_GetAttrString(module.get(), "socket") : nullptr;
    state.raw_socket_type = raw ? reinterpret_cast<PyTypeObject*>(
                                      PyObject_GetAttrString(raw.get(), "socket"))
                                : nullptr;
    if (state.socket_class == nullptr || state.raw_socket_type == nullptr) {
        return false;
    }
    // An unconnected pair of numbers that no other fields are likely to hold.
    const py::Ref probe = py::Ref::steal(
        PyObject_CallFunction(state.socket_class, "ii", AF_UNIX, SOCK_DGRAM));
    if (!probe) {
        PyErr_Clear(); // no descriptor left: the slow way then
        return true;
    }
    const SocketFields& fields = fields_of_socket(probe.get());
    state.socket_layout_known =
        state.raw_socket_type->tp_basicsize >= static_cast<Py_ssize_t>(sizeof(SocketFields)) &&
        fields.fd == ask_for_fd(probe.get()) && fields.family == number(probe.get(), "family") &&
        fields.type == number(probe.get(), "type") && fields.protocol == number(probe.get(), "proto");
    const bool closed = static_cast<bool>(py::call_method(probe.get(), py::names().close));
    state.socket_layout_known = state.socket_layout_known && closed && fields.fd == -1;
    return closed;
}

} // namespace bucle::net
