// See address.hpp.
#include "net/address.hpp"

#include "py/error.hpp"

#include <arpa/inet.h>

#include <cstddef>
#include <cstring>

namespace bucle::net {
namespace {

constexpr std::size_t kPathAt = offsetof(sockaddr_un, sun_path);

py::Ref ip_text(int family, const void* number) noexcept {
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, number, text, sizeof text) == nullptr) {
        PyErr_SetFromErrno(PyExc_OSError);
        return {};
    }
    return py::Ref::steal(PyUnicode_FromString(text));
}

py::Ref v4_object(const sockaddr_in& address) noexcept {
    const py::Ref host = ip_text(AF_INET, &address.sin_addr);
    return host ? py::Ref::steal(Py_BuildValue("Oi", host.get(), int{ntohs(address.sin_port)}))
                : py::Ref();
}

py::Ref v6_object(const sockaddr_in6& address) noexcept {
    const py::Ref host = ip_text(AF_INET6, &address.sin6_addr);
    return host ? py::Ref::steal(Py_BuildValue("OiII", host.get(), int{ntohs(address.sin6_port)},
                                               ntohl(address.sin6_flowinfo), address.sin6_scope_id))
                : py::Ref();
}

py::Ref path_object(const sockaddr_un& address, std::size_t length) noexcept {
    const std::size_t room = length - kPathAt;
    if (room != 0 && address.sun_path[0] == '\0') { // an abstract one
        return py::Ref::steal(
            PyBytes_FromStringAndSize(address.sun_path, static_cast<Py_ssize_t>(room)));
    }
    return py::Ref::steal(PyUnicode_DecodeFSDefaultAndSize(
        address.sun_path, static_cast<Py_ssize_t>(strnlen(address.sun_path, room))));
}

// An exact int in [0, limit]; -1, with no error set, for anything else.
long long small_number(PyObject* object, long long limit) noexcept {
    if (!PyLong_CheckExact(object)) {
        return -1;
    }
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow != 0 || number > limit ? -1 : number;
}

// A str of ASCII: the only form that inet_pton() is asked about.
const char* literal_host(PyObject* object) noexcept {
    return PyUnicode_CheckExact(object) && PyUnicode_IS_ASCII(object) &&
                   static_cast<std::size_t>(PyUnicode_GET_LENGTH(object)) ==
                       std::strlen(static_cast<const char*>(PyUnicode_DATA(object)))
               ? static_cast<const char*>(PyUnicode_DATA(object))
               : nullptr;
}

bool parse_v4(PyObject* host, PyObject* port, SocketAddress& out) noexcept {
    const char* const text = literal_host(host);
    const long long number = small_number(port, 0xffff);
    std::memset(&out.v4, 0, sizeof out.v4);
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(static_cast<std::uint16_t>(number));
    out.length = sizeof out.v4;
    return text != nullptr && number >= 0 && inet_pton(AF_INET, text, &out.v4.sin_addr) == 1;
}

bool parse_v6(PyObject* tuple, SocketAddress& out) noexcept {
    constexpr long long kFlows = 0xfffff;
    const Py_ssize_t size = PyTuple_GET_SIZE(tuple);
    const char* const text = literal_host(PyTuple_GET_ITEM(tuple, 0));
    const long long port = small_number(PyTuple_GET_ITEM(tuple, 1), 0xffff);
    const long long flow = size > 2 ? small_number(PyTuple_GET_ITEM(tuple, 2), kFlows) : 0;
    const long long scope = size > 3 ? small_number(PyTuple_GET_ITEM(tuple, 3), UINT32_MAX) : 0;
    std::memset(&out.v6, 0, sizeof out.v6);
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(static_cast<std::uint16_t>(port));
    out.v6.sin6_flowinfo = htonl(static_cast<std::uint32_t>(flow));
    out.v6.sin6_scope_id = static_cast<std::uint32_t>(scope);
    out.length = sizeof out.v6;
    return text != nullptr && port >= 0 && flow >= 0 && scope >= 0 &&
           inet_pton(AF_INET6, text, &out.v6.sin6_addr) == 1;
}

bool parse_path(PyObject* object, SocketAddress& out) noexcept {
    py::Ref encoded = PyBytes_CheckExact(object) ? py::Ref::borrow(object)
                      : PyUnicode_CheckExact(object)
                          ? py::Ref::steal(PyUnicode_EncodeFSDefault(object))
                          : py::Ref();
    if (!encoded) {
        PyErr_Clear(); // who really sends says it again
        return false;
    }
    const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(encoded.get()));
    const char* const bytes = PyBytes_AS_STRING(encoded.get());
    if (size == 0 || size >= sizeof out.path.sun_path) {
        return false;
    }
    out.path.sun_family = AF_UNIX;
    std::memcpy(out.path.sun_path, bytes, size);
    out.path.sun_path[size] = '\0';
    out.length = static_cast<socklen_t>(kPathAt + size + (bytes[0] == '\0' ? 0U : 1U));
    return true;
}

} // namespace

py::Ref address_object(const SocketAddress& address) noexcept {
    if (address.length < sizeof(sa_family_t)) {
        return py::none();
    }
    switch (address.any.sa_family) {
    case AF_INET:
        return v4_object(address.v4);
    case AF_INET6:
        return v6_object(address.v6);
    case AF_UNIX:
        return path_object(address.path, address.length);
    default:
        return py::none();
    }
}

bool parse_address(int family, PyObject* object, SocketAddress& out) noexcept {
    if (family == AF_UNIX) {
        return parse_path(object, out);
    }
    if (!PyTuple_CheckExact(object)) {
        return false;
    }
    const Py_ssize_t size = PyTuple_GET_SIZE(object);
    if (family == AF_INET) {
        return size == 2 && parse_v4(PyTuple_GET_ITEM(object, 0), PyTuple_GET_ITEM(object, 1), out);
    }
    return family == AF_INET6 && size >= 2 && size <= 4 && parse_v6(object, out);
}

} // namespace bucle::net
