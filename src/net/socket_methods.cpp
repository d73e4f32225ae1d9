// See socket_transport.hpp. What Python calls.
#include "net/net.hpp"
#include "net/python_socket.hpp"
#include "net/socket_transport.hpp"
#include "net/transport_type.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::net {
namespace {

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    return none_if(close_transport(args[0]));
}

PyObject* abort(py::Function&, PyObject* const* args) noexcept {
    return none_if(flush_now(args[0], transport_of(args[0])) && force_close(args[0], nullptr));
}

PyObject* force_close_with(py::Function&, PyObject* const* args) noexcept {
    return none_if(flush_now(args[0], transport_of(args[0])) && force_close(args[0], args[1]));
}

PyObject* fatal_error_with(py::Function&, PyObject* const* args) noexcept {
    const char* const message = PyUnicode_AsUTF8(args[2]);
    return none_if(message != nullptr && fatal_error(args[0], args[1], message));
}

PyObject* can_write_eof(py::Function&, PyObject* const*) noexcept {
    Py_RETURN_TRUE;
}

PyObject* get_buffer_size(py::Function&, PyObject* const* args) noexcept {
    SocketTransport& transport = transport_of(args[0]);
    return flush_now(args[0], transport) ? PyLong_FromSize_t(transport.buffer.size()) : nullptr;
}

// For sendfile(): a future that is done when everything is sent; writing is refused meanwhile.
PyObject* make_empty_waiter(py::Function&, PyObject* const* args) noexcept {
    SocketTransport& transport = transport_of(args[0]);
    if (transport.empty_waiter) {
        return py::raise_runtime_error("Empty waiter is already set");
    }
    if (!flush_now(args[0], transport)) {
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

PyObject* reset_empty_waiter(py::Function&, PyObject* const* args) noexcept {
    transport_of(args[0]).empty_waiter.reset();
    Py_RETURN_NONE;
}

// sock_sendfile() works on a descriptor that no transport has.
PyObject* lend_fd(PyObject* self, PyObject*) noexcept {
    give_up_fd(self, transport_of(self));
    Py_RETURN_NONE;
}

PyObject* take_fd_back(PyObject* self, PyObject*) noexcept {
    const SocketTransport& transport = transport_of(self);
    return none_if(!transport.loop || !transport.open ||
                   loop::claim_fd(transport.core(), transport.fd, self));
}

const char* polling(const SocketTransport& transport, loop::Side side) noexcept {
    return loop::is_watched(transport.core(), transport.fd, side) ? "polling" : "idle";
}

PyObject* repr(PyObject* self) noexcept {
    SocketTransport& transport = transport_of(self);
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(self)));
    if (!name) {
        return nullptr;
    }
    const char* const state = !transport.open ? " closed" : transport.closing ? " closing" : "";
    if (!transport.loop || transport.core().closed()) {
        return PyUnicode_FromFormat("<%U%s fd=%d>", name.get(), state, transport.fd);
    }
    return PyUnicode_FromFormat("<%U%s fd=%d read=%s write=<%s, bufsize=%zu>>", name.get(), state,
                                transport.fd, polling(transport, loop::Side::reader),
                                polling(transport, loop::Side::writer), transport.buffer.size());
}

using Slots = EndpointSlots<SocketTransport>;

const py::FunctionRow kFunctions[] = {
    {"is_reading", Slots::is_reading},
    {"close", close},
    {"abort", abort},
    {"pause_reading", Slots::pause_reading},
    {"resume_reading", Slots::resume_reading},
    {"write_eof", write_eof},
    {"can_write_eof", can_write_eof},
    {"get_write_buffer_size", get_buffer_size},
    {"_force_close", force_close_with},
    {"_fatal_error", fatal_error_with},
    {"_make_empty_waiter", make_empty_waiter},
    {"_reset_empty_waiter", reset_empty_waiter},
    {nullptr, nullptr},
};

constexpr char kWrite[] = "write";
constexpr char kData[] = "data";
constexpr char kWritelines[] = "writelines";
constexpr char kListOfData[] = "list_of_data";

// Two that are called for each message: the interpreter calls them with no Function between.
PyMethodDef kMethods[] = {
    {"write", py::as_method(py::one_argument<write, kWrite, kData>), METH_FASTCALL | METH_KEYWORDS,
     "write($self, /, data)\n--\n\n"
     "Send bytes; never blocks."},
    {"_lend_fd", lend_fd, METH_NOARGS, nullptr},
    {"_take_fd_back", take_fd_back, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef writelines_method[] = {
    {"writelines", py::as_method(py::one_argument<writelines, kWritelines, kListOfData>),
     METH_FASTCALL | METH_KEYWORDS,
     "writelines($self, /, list_of_data)\n--\n\n"
     "Send several pieces of bytes."},
    {nullptr, nullptr, 0, nullptr},
};

// Up to 3.11 it is inherited: the pieces are joined for one write().
bool add_writelines(PyTypeObject* type) noexcept {
    const int own = PyDict_Contains(type->tp_base->tp_dict, py::names().writelines);
    return own == 0 || (own > 0 && py::add_methods_for(type, type, writelines_method));
}

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
    TransportRecipe recipe = {};
    recipe.name = "bucle.SocketTransport";
    recipe.doc = "A connection, native.";
    recipe.stock_module = "asyncio.selector_events";
    recipe.stock = "_SelectorSocketTransport";
    recipe.functions = kFunctions;
    recipe.methods = kMethods;
    recipe.getset = socket_transport_getset;
    recipe.repr = repr; // asyncio's asks for the socket and for the size of the buffer
    state.socket_transport_type = make_transport_type<SocketTransport>(module, recipe);
    return state.socket_transport_type != nullptr && find_rules(state) &&
           add_writelines(state.socket_transport_type) &&
           py::add_methods_for(state.loop_type, state.loop_type, loop_methods);
}

} // namespace bucle::net
