// See socket_transport.hpp. get_extra_info() and what programs read of asyncio's private names.
#include "net/address.hpp"
#include "net/python_socket.hpp"
#include "net/socket_transport.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <sys/socket.h>

namespace bucle::net {
namespace {

using GetName = int (*)(int, sockaddr*, socklen_t*);

// The address, or None where there is none; asked for once.
py::Ref address_of(SocketTransport& transport, py::Ref& kept, GetName get_name,
                   const char* method) noexcept {
    if (kept) {
        return kept.clone();
    }
    SocketAddress address;
    address.length = sizeof(sockaddr_un); // the largest of the known ones
    const int fd = descriptor_of(transport);
    if (fd < 0 || get_name(fd, &address.any, &address.length) != 0) {
        kept = py::none();
        return kept.clone();
    }
    if (is_known_family(transport.family)) {
        kept = address_object(address);
    } else { // one that Python knows better
        const py::Ref socket = python_socket(transport);
        kept =
            socket ? py::Ref::steal(PyObject_CallMethod(socket.get(), method, nullptr)) : py::Ref();
    }
    return kept.clone();
}

py::Ref closed_socket() noexcept {
    py::Ref socket = py::call(py::state().socket_class);
    return socket && py::call_method(socket.get(), py::names().close) ? std::move(socket)
                                                                      : py::Ref();
}

py::Ref view_of(SocketTransport& transport) noexcept {
    if (!transport.view) {
        const py::Ref socket = python_socket(transport);
        if (!socket && PyErr_Occurred() != nullptr) {
            return {};
        }
        const py::State& state = py::state();
        // One that was closed before anybody asked for it.
        const py::Ref shown = socket ? socket.clone() : closed_socket();
        transport.view = shown ? py::call(state.connection_socket, shown.get()) : py::Ref();
    }
    return transport.view.clone();
}

// What the maker gave goes before what the socket tells.
py::Ref given_info(const SocketTransport& transport, PyObject* name) noexcept {
    return transport.extra ? py::Ref::borrow(PyDict_GetItemWithError(transport.extra.get(), name))
                           : py::Ref();
}

bool is(PyObject* name, PyObject* known) noexcept {
    return name == known || (PyUnicode_Check(name) && PyUnicode_Compare(name, known) == 0);
}

// Null without an error: it is not known.
py::Ref known_info(SocketTransport& transport, PyObject* name) noexcept {
    const py::Names& names = py::names();
    if (is(name, names.socket)) {
        return view_of(transport);
    }
    py::Ref given = given_info(transport, name);
    if (given || PyErr_Occurred() != nullptr) {
        return given;
    }
    return is(name, names.sockname)   ? sockname_of(transport)
           : is(name, names.peername) ? peername_of(transport)
                                      : py::Ref();
}

PyObject* get_extra(PyObject* self, void*) noexcept {
    SocketTransport& transport = transport_of(self);
    const py::Names& names = py::names();
    if (!transport.extra) {
        transport.extra = py::Ref::steal(PyDict_New());
    }
    PyObject* const extra = transport.extra.get();
    if (extra == nullptr) {
        return nullptr;
    }
    for (PyObject* name : {names.socket, names.sockname, names.peername}) {
        const py::Ref value = known_info(transport, name);
        if (!value || PyDict_SetItem(extra, name, value.get()) < 0) {
            return nullptr;
        }
    }
    return py::new_ref(extra);
}

PyObject* get_socket(PyObject* self, void*) noexcept {
    SocketTransport& transport = transport_of(self);
    if (!transport.loop) { // asyncio's has none any more
        Py_RETURN_NONE;
    }
    return python_socket(transport).release();
}

template <py::Ref SocketTransport::* Field>
PyObject* get_ref(PyObject* self, void*) noexcept {
    return py::value_or_none((transport_of(self).*Field).get());
}

PyObject* get_eof(PyObject* self, void*) noexcept {
    return PyBool_FromLong(transport_of(self).eof_written);
}

using Slots = EndpointSlots<SocketTransport>;
using Flow = FlowSlots<Slots::flow>;

} // namespace

PyObject* extra_info(SocketTransport& transport, PyObject* name, PyObject* fallback) noexcept {
    py::Ref value = known_info(transport, name);
    return value || PyErr_Occurred() != nullptr ? value.release() : py::new_ref(fallback);
}

py::Ref sockname_of(SocketTransport& transport) noexcept {
    return address_of(transport, transport.sockname, ::getsockname, "getsockname");
}

py::Ref peername_of(SocketTransport& transport) noexcept {
    return address_of(transport, transport.peername, ::getpeername, "getpeername");
}

PyGetSetDef socket_transport_getset[] = {
    attribute("_extra", get_extra),
    attribute("_sock", get_socket),
    Slots::fd_row("_sock_fd"),
    Slots::kLoop,
    attribute("_protocol", Slots::get_ref<&Endpoint::protocol>),
    attribute("_server", get_ref<&SocketTransport::server>),
    attribute("_empty_waiter", get_ref<&SocketTransport::empty_waiter>),
    Slots::kClosing,
    Slots::kPaused,
    attribute("_eof", get_eof),
    Slots::kConnLost,
    Flow::kHigh,
    Flow::kLow,
    Flow::kPaused,
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace bucle::net
