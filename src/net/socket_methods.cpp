// See socket_transport.hpp. What Python calls.
#include "net/errors.hpp"
#include "net/net.hpp"
#include "net/python_socket.hpp"
#include "net/socket_transport.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/function.hpp"

#include <cerrno>

namespace bucle::net {
namespace {

using loop::one_argument;

PyObject* none_if(bool ok) noexcept {
    return ok ? py::new_ref(Py_None) : nullptr;
}

PyObject* get_extra_info(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                         PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"name", "default", nullptr};
    static constexpr py::Signature kSignature = {"get_extra_info", kNames, 2, 1};
    PyObject* given[2] = {};
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, given)) {
        return nullptr;
    }
    py::Ref value = extra_info(self, given[0]);
    return value || PyErr_Occurred() != nullptr ? value.release() : py::value_or_none(given[1]);
}

PyObject* is_closing(PyObject* self, PyObject*) noexcept {
    return PyBool_FromLong(transport_of(self).closing);
}

PyObject* is_reading(PyObject* self, PyObject*) noexcept {
    const SocketTransport& transport = transport_of(self);
    return PyBool_FromLong(!transport.closing && !transport.paused);
}

PyObject* close(PyObject* self, PyObject*) noexcept {
    return none_if(close_transport(self));
}

PyObject* abort(PyObject* self, PyObject*) noexcept {
    return none_if(flush_now(self, transport_of(self)) && force_close(self, nullptr));
}

PyObject* force_close_method(PyObject* self, PyObject* exception) noexcept {
    return none_if(flush_now(self, transport_of(self)) && force_close(self, exception));
}

PyObject* fatal_error_method(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                             PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"exc", "message", nullptr};
    static constexpr py::Signature kSignature = {"_fatal_error", kNames, 2, 1};
    PyObject* given[2] = {};
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, given)) {
        return nullptr;
    }
    const char* const message =
        given[1] == nullptr ? "Fatal error on transport" : PyUnicode_AsUTF8(given[1]);
    const SocketTransport& transport = transport_of(self);
    if (message != nullptr && !transport.loop) { // it has ended
        Py_RETURN_NONE;
    }
    return none_if(message != nullptr &&
                   report_fatal_error(self, transport.loop.get(), transport.protocol.get(),
                                      given[0], message, Expected::os_errors, kSocketLog) &&
                   force_close(self, given[0]));
}

PyObject* connection_lost_method(PyObject* self, PyObject* exception) noexcept {
    return none_if(connection_lost(self, py::Ref::borrow(exception)));
}

PyObject* set_protocol_method(PyObject* self, PyObject* protocol) noexcept {
    return none_if(set_protocol(transport_of(self), protocol));
}

PyObject* get_protocol(PyObject* self, PyObject*) noexcept {
    return py::value_or_none(transport_of(self).protocol.get());
}

PyObject* pause_reading(PyObject* self, PyObject*) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.closing || transport.paused) {
        Py_RETURN_NONE;
    }
    transport.paused = true;
    stop_reading(transport);
    return none_if(!in_debug(transport) || log(kSocketLog, "debug", "%r pauses reading", self));
}

PyObject* resume_reading(PyObject* self, PyObject*) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.closing || !transport.paused) {
        Py_RETURN_NONE;
    }
    transport.paused = false;
    return none_if(start_reading(transport) &&
                   (!in_debug(transport) || log(kSocketLog, "debug", "%r resumes reading", self)));
}

PyObject* can_write_eof(PyObject*, PyObject*) noexcept {
    Py_RETURN_TRUE;
}

PyObject* get_buffer_size(PyObject* self, PyObject*) noexcept {
    SocketTransport& transport = transport_of(self);
    return flush_now(self, transport) ? PyLong_FromSize_t(transport.buffer.size()) : nullptr;
}

// For sendfile(): a future that is done when everything is sent; writing is refused meanwhile.
PyObject* make_empty_waiter(PyObject* self, PyObject*) noexcept {
    SocketTransport& transport = transport_of(self);
    if (transport.empty_waiter) {
        return py::raise_runtime_error("Empty waiter is already set");
    }
    if (!flush_now(self, transport)) {
        return nullptr;
    }
    const py::Ref loop = py::Ref::steal(py::value_or_none(transport.loop.get()));
    transport.empty_waiter = py::call_method(loop.get(), py::names().create_future);
    if (!transport.empty_waiter ||
        (transport.buffer.empty() &&
         !py::call_method(transport.empty_waiter.get(), py::names().set_result, Py_None))) {
        return nullptr;
    }
    return py::new_ref(transport.empty_waiter.get());
}

PyObject* reset_empty_waiter(PyObject* self, PyObject*) noexcept {
    transport_of(self).empty_waiter.reset();
    Py_RETURN_NONE;
}

// sock_sendfile() works on a descriptor that no transport has.
PyObject* lend_fd(PyObject* self, PyObject*) noexcept {
    const SocketTransport& transport = transport_of(self);
    if (transport.loop) {
        loop::release_fd(*transport.scheduler, transport.fd, self);
    }
    Py_RETURN_NONE;
}

PyObject* take_fd_back(PyObject* self, PyObject*) noexcept {
    const SocketTransport& transport = transport_of(self);
    return none_if(!transport.loop || !transport.open ||
                   loop::claim_fd(*transport.scheduler, transport.fd, self));
}

const char* polling(const SocketTransport& transport, loop::Side side) noexcept {
    return loop::is_watched(*transport.scheduler, transport.fd, side) ? "polling" : "idle";
}

PyObject* repr(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(self)));
    if (!name) {
        return nullptr;
    }
    const char* const state = !transport.open ? " closed" : transport.closing ? " closing" : "";
    if (!transport.loop || transport.scheduler->closed()) {
        return PyUnicode_FromFormat("<%U%s fd=%d>", name.get(), state, transport.fd);
    }
    return PyUnicode_FromFormat("<%U%s fd=%d read=%s write=<%s, bufsize=%zu>>", name.get(), state,
                                transport.fd, polling(transport, loop::Side::reader),
                                polling(transport, loop::Side::writer), transport.buffer.size());
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const int stop = transport_of(self).visit(visit, arg); stop != 0) {
        return stop;
    }
    if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    transport_of(self).clear();
    py::compat::clear_instance_dict(self);
    return 0;
}

constexpr char kWrite[] = "write";
constexpr char kData[] = "data";
constexpr char kWritelines[] = "writelines";
constexpr char kListOfData[] = "list_of_data";
constexpr char kSetProtocol[] = "set_protocol";
constexpr char kProtocol[] = "protocol";
constexpr int kByName = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef methods[] = {
    {"get_extra_info", py::as_method(get_extra_info), METH_FASTCALL | METH_KEYWORDS,
     "get_extra_info($self, /, name, default=None)\n--\n\n"
     "Return what is known of the connection under a name: socket, peername, sockname."},
    {"is_closing", is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\n"
     "Return whether it is closed or about to be."},
    {"is_reading", is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\n"
     "Return whether it reads: neither paused nor closing."},
    {"close", close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Send what is buffered, then close."},
    {"abort", abort, METH_NOARGS,
     "abort($self, /)\n--\n\n"
     "Close at once; what is buffered is lost."},
    {"set_protocol", py::as_method(one_argument<set_protocol_method, kSetProtocol, kProtocol>),
     kByName,
     "set_protocol($self, /, protocol)\n--\n\n"
     "Let another protocol have what comes."},
    {"get_protocol", get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\n"
     "Return the protocol."},
    {"pause_reading", pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\n"
     "Read nothing until resume_reading()."},
    {"resume_reading", resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\n"
     "Read on after pause_reading()."},
    {"write", py::as_method(one_argument<write, kWrite, kData>), kByName,
     "write($self, /, data)\n--\n\n"
     "Send bytes; never blocks."},
    {"writelines", py::as_method(one_argument<writelines, kWritelines, kListOfData>), kByName,
     "writelines($self, /, list_of_data)\n--\n\n"
     "Send several pieces of bytes."},
    {"write_eof", write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\n"
     "Close the writing side once everything is sent."},
    {"can_write_eof", can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\n"
     "Return True."},
    {"get_write_buffer_size", get_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\n"
     "Return the number of bytes that are not sent yet."},
    {"_force_close", force_close_method, METH_O, nullptr},
    {"_fatal_error", py::as_method(fatal_error_method), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_call_connection_lost", connection_lost_method, METH_O, nullptr},
    {"_make_empty_waiter", make_empty_waiter, METH_NOARGS, nullptr},
    {"_reset_empty_waiter", reset_empty_waiter, METH_NOARGS, nullptr},
    {"_lend_fd", lend_fd, METH_NOARGS, nullptr},
    {"_take_fd_back", take_fd_back, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

namespace {

// loop._new_transport(sock, protocol, waiter, extra, server, context): none of them optional.
PyObject* new_transport(PyObject* self, PyObject* const* args, Py_ssize_t nargs) noexcept {
    if (nargs != 6) {
        return py::raise_type_error("_new_transport() takes 6 arguments");
    }
    const auto given = [args](int i) { return args[i] == Py_None ? nullptr : args[i]; };
    Connection connection;
    connection.fd = fd_of_socket(args[0]);
    connection.family = family_of_socket(args[0]);
    connection.socket = args[0];
    connection.protocol = args[1];
    connection.waiter = given(2);
    connection.extra = given(3);
    connection.server = given(4);
    connection.context = given(5);
    if (connection.fd < 0) {
        (void)py::raise_os_error(EBADF);
        return nullptr;
    }
    return make_socket_transport(*loop::loop_core(self), std::move(connection)).release();
}

PyMethodDef loop_methods[] = {
    {"_new_transport", py::as_method(new_transport), METH_FASTCALL,
     "_new_transport($self, sock, protocol, waiter, extra, server, context, /)\n--\n\n"
     "Make a transport of a connected socket, which it owns from now on."},
    {nullptr, nullptr, 0, nullptr},
};

// What the installed asyncio does: whether a server is told which transports are its own, or only
// how many, and what writelines() leaves out.
bool find_rules(py::State& state) noexcept {
    const py::Ref server = py::Ref::steal(PyObject_GetAttrString(state.base_events, "Server"));
    const py::Ref attach =
        server ? py::Ref::steal(PyObject_GetAttrString(server.get(), "_attach")) : py::Ref();
    const py::Ref code =
        attach ? py::Ref::steal(PyObject_GetAttrString(attach.get(), "__code__")) : py::Ref();
    const py::Ref count =
        code ? py::Ref::steal(PyObject_GetAttrString(code.get(), "co_argcount")) : py::Ref();
    state.server_knows_transports = count && PyLong_AsLong(count.get()) == 2;
    // The change that made it pause the protocol, too.
    state.writelines_skips_empty = py::twin_mentions(
        "asyncio.selector_events", "_SelectorSocketTransport.writelines", "_maybe_pause_protocol");
    return static_cast<bool>(count);
}

} // namespace

bool make_socket_transport_type(PyObject* module) noexcept {
    py::State& state = py::state();
    const py::Ref base = py::Ref::steal(PyImport_ImportModule("asyncio.selector_events"));
    state.base_socket_transport = base ? reinterpret_cast<PyTypeObject*>(PyObject_GetAttrString(
                                             base.get(), "_SelectorSocketTransport"))
                                       : nullptr;
    if (state.base_socket_transport == nullptr) {
        return false;
    }
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("A connection, native.")},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc_transport)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize_transport)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_methods, methods},
        {Py_tp_getset, socket_transport_getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.SocketTransport",          slots,
                                   sizeof(SocketTransport),          alignof(SocketTransport),
                                   state.base_socket_transport,      nullptr,
                                   Py_TPFLAGS_DISALLOW_INSTANTIATION};
    state.socket_transport_type = py::make_type(module, recipe, &socket_transport_offset);
    return state.socket_transport_type != nullptr && find_rules(state) &&
           py::add_methods_for(state.loop_type, state.loop_type, loop_methods);
}

} // namespace bucle::net
