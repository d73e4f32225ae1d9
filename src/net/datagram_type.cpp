// DatagramTransport: its making, its end, and what Python sees of it.
#include "net/datagram.hpp"
#include "net/errors.hpp"
#include "net/net.hpp"
#include "net/transport_type.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::net {

int Datagram::visit(visitproc visitor, void* arg) const noexcept {
    if (const int stop = Endpoint::visit(visitor, arg); stop != 0) {
        return stop;
    }
    if (const int stop = flow.visit(visitor, arg); stop != 0) {
        return stop;
    }
    if (const int stop = peers.visit(visitor, arg); stop != 0) {
        return stop;
    }
    for (const py::Ref* ref : {&address, &sent_to}) {
        if (const int stop = ref->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    for (const Packet& packet : held) {
        if (const int stop = packet.data.visit(visitor, arg); stop != 0) {
            return stop;
        }
        if (const int stop = packet.address.visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    for (std::size_t i = 0; i != unsent.size(); ++i) {
        if (const int stop = visitor(unsent[i].address, arg); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void Datagram::clear() noexcept {
    Endpoint::clear();
    flow.clear();
    peers.clear();
    address.reset();
    sent_to.reset();
    base::Growable<Packet> packets;
    packets.swap(held);
    drop_unsent(*this);
}

bool handle_error(PyObject* self, Datagram& datagram, const char* message) noexcept {
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    if (PyErr_GivenExceptionMatches(error.get(), PyExc_BlockingIOError) != 0 ||
        PyErr_GivenExceptionMatches(error.get(), PyExc_InterruptedError) != 0) {
        return true;
    }
    const py::Ref protocol = datagram.protocol.clone();
    if (PyErr_GivenExceptionMatches(error.get(), PyExc_OSError) != 0) {
        const loop::ProtocolCall call(datagram.core());
        return !protocol ||
               py::call_method(protocol.get(), py::names().error_received, error.get());
    }
    return !datagram.loop ||
           (report_fatal_error(self, datagram.loop.get(), protocol.get(), error.get(), message,
                               Expected::os_errors, kSocketLog) &&
            force_close(self, datagram, error.get()));
}

bool force_close(PyObject* self, Datagram& datagram, PyObject* error) noexcept {
    if (datagram.conn_lost != 0) {
        return true;
    }
    ++datagram.conn_lost;
    datagram.closing = true;
    unwatch_side(datagram, loop::Side::reader);
    unwatch_side(datagram, loop::Side::writer);
    base::Growable<Packet> packets;
    packets.swap(datagram.held);
    drop_unsent(datagram);
    return schedule_loss(self, datagram, error);
}

namespace {

PyObject* abort(py::Function&, PyObject* const* args) noexcept {
    return none_if(force_close(args[0], datagram_of(args[0]), Py_None));
}

PyObject* force_close_with(py::Function&, PyObject* const* args) noexcept {
    return none_if(force_close(args[0], datagram_of(args[0]), args[1]));
}

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    Datagram& datagram = datagram_of(args[0]);
    if (datagram.closing) {
        Py_RETURN_NONE;
    }
    datagram.closing = true;
    unwatch_side(datagram, loop::Side::reader);
    base::Growable<Packet> packets;
    packets.swap(datagram.held);
    if (datagram.unsent.empty()) {
        ++datagram.conn_lost;
        unwatch_side(datagram, loop::Side::writer);
        if (!schedule_loss(args[0], datagram)) {
            return nullptr;
        }
    }
    Py_RETURN_NONE;
}

PyObject* get_write_buffer_size(py::Function&, PyObject* const* args) noexcept {
    return PyLong_FromSize_t(datagram_of(args[0]).unsent_size);
}

using Slots = EndpointSlots<Datagram>;
using Flow = FlowSlots<Slots::flow>;

const py::FunctionRow kFunctions[] = {
    {"sendto", datagram_sendto},
    {"is_reading", Slots::is_reading},
    {"pause_reading", Slots::pause_reading},
    {"resume_reading", Slots::resume_reading},
    {"abort", abort},
    {"close", close},
    {"get_write_buffer_size", get_write_buffer_size},
    {"_force_close", force_close_with},
    {nullptr, nullptr},
};

// What waits, as asyncio keeps it; a copy.
PyObject* get_buffer(PyObject* self, void*) noexcept {
    const Datagram& datagram = datagram_of(self);
    py::Ref all = py::call(py::state().deque);
    for (std::size_t i = 0; all && i != datagram.unsent.size(); ++i) {
        const py::Ref pair =
            py::Ref::steal(PyTuple_Pack(2, datagram.unsent[i].data, datagram.unsent[i].address));
        if (!pair || !py::call_method(all.get(), py::names().append, pair.get())) {
            return nullptr;
        }
    }
    return all.release();
}

PyObject* get_buffer_size(PyObject* self, void*) noexcept {
    return PyLong_FromSize_t(datagram_of(self).unsent_size);
}

PyObject* get_address(PyObject* self, void*) noexcept {
    return py::value_or_none(datagram_of(self).address.get());
}

PyGetSetDef kAttributes[] = {
    Flow::kHigh,
    Flow::kLow,
    Flow::kPaused,
    Slots::kLoop,
    Slots::kProtocol,
    Slots::kExtra,
    Slots::file_row("_sock"),
    Slots::fd_row("_sock_fd"),
    Slots::kClosing,
    Slots::kPaused,
    Slots::kConnLost,
    {"_address", get_address, nullptr, nullptr, nullptr},
    {"_buffer", get_buffer, nullptr, nullptr, nullptr},
    {"_buffer_size", get_buffer_size, nullptr, nullptr, nullptr},
    Slots::kMaxSizeRow,
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// extra[key] = sock.method(), None where that is an OSError.
bool add_name(PyObject* extra, PyObject* key, PyObject* sock, PyObject* method) noexcept {
    py::Ref name = py::call_method(sock, method);
    if (!name) {
        if (PyErr_ExceptionMatches(PyExc_OSError) == 0) {
            return false;
        }
        PyErr_Clear();
        name = py::none();
    }
    return PyObject_SetItem(extra, key, name.get()) == 0;
}

// What asyncio's constructor puts into `extra`, and learns from it.
bool describe(Datagram& datagram, PyObject* sock) noexcept {
    const py::Names& names = py::names();
    PyObject* const extra = datagram.extra.get();
    const py::Ref shown = py::call(py::state().transport_socket, sock);
    if (!shown || PyObject_SetItem(extra, names.socket, shown.get()) < 0 ||
        !add_name(extra, names.sockname, sock, names.getsockname)) {
        return false;
    }
    const int named = PySequence_Contains(extra, names.peername);
    if (named < 0 || (named == 0 && !add_name(extra, names.peername, sock, names.getpeername))) {
        return false;
    }
    const py::Ref peer = py::Ref::steal(PyObject_GetItem(extra, names.peername));
    const int connected = peer ? PyObject_IsTrue(peer.get()) : -1;
    datagram.connected = connected > 0;
    return connected >= 0;
}

bool find_family(Datagram& datagram, PyObject* sock) noexcept {
    const py::Ref number = py::call_method(sock, py::names().fileno);
    const long fd = number ? PyLong_AsLong(number.get()) : -1;
    if (fd == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    datagram.fd = static_cast<int>(fd);
    socklen_t size = sizeof datagram.family;
    datagram.foreign =
        reinterpret_cast<PyObject*>(Py_TYPE(sock)) != py::state().socket_class ||
        getsockopt(datagram.fd, SOL_SOCKET, SO_DOMAIN, &datagram.family, &size) != 0 ||
        !is_known_family(datagram.family);
    return true;
}

// loop._make_datagram_transport(sock, protocol, address=None, waiter=None, extra=None). Where
// asyncio refuses the descriptor of another transport, the function has an extra.
PyObject* make(py::Function& function, PyObject* const* args) noexcept {
    PyObject* const loop = args[0];
    PyObject* const sock = args[1];
    if (function.extra != nullptr &&
        !py::call_method(loop, py::names()._ensure_fd_no_transport, sock)) {
        return nullptr;
    }
    py::Ref self = make_endpoint<Datagram>(py::state().datagram_type);
    if (!self) {
        return nullptr;
    }
    Datagram& datagram = datagram_of(self.get());
    if (!set_up(datagram, loop, args[2], args[5]) || !describe(datagram, sock)) {
        return nullptr;
    }
    datagram.file = py::Ref::borrow(sock); // from here on it is closed with the transport
    datagram.address = args[3] == Py_None ? py::Ref() : py::Ref::borrow(args[3]);
    const int has_address = PyObject_IsTrue(args[3]);
    datagram.has_address = has_address > 0;
    return has_address >= 0 && find_family(datagram, sock) &&
                   (datagram.fd < 0 || loop::claim_fd(datagram.core(), datagram.fd, self.get())) &&
                   announce(self.get(), datagram, true, args[4])
               ? self.release()
               : nullptr;
}

constexpr const char* kModule = "asyncio.selector_events";
constexpr const char* kStock = "_SelectorDatagramTransport";
constexpr const char* kLoop = "BaseSelectorEventLoop";

// Where asyncio counts a header for each datagram that waits, it also sends empty ones.
bool find_rules(py::State& state) noexcept {
    constexpr long kHeader = 8;
    const py::Ref module = py::Ref::steal(PyImport_ImportModule(kModule));
    const py::Ref stock =
        module ? py::Ref::steal(PyObject_GetAttrString(module.get(), kStock)) : py::Ref();
    const py::Ref sendto =
        stock ? py::Ref::steal(PyObject_GetAttrString(stock.get(), "sendto")) : py::Ref();
    const py::Ref code =
        sendto ? py::Ref::steal(PyObject_GetAttrString(sendto.get(), "__code__")) : py::Ref();
    const py::Ref constants =
        code ? py::Ref::steal(PyObject_GetAttrString(code.get(), "co_consts")) : py::Ref();
    const py::Ref eight = constants ? py::Ref::steal(PyLong_FromLong(kHeader)) : py::Ref();
    if (!eight) {
        return false;
    }
    const int mentioned = PySequence_Contains(constants.get(), eight.get());
    const py::Ref named = py::Ref::steal(PyObject_GetAttrString(stock.get(), "_header_size"));
    PyErr_Clear();
    const long header = named ? PyLong_AsLong(named.get()) : mentioned > 0 ? kHeader : 0;
    PyErr_Clear();
    state.datagram_header = header > 0 ? static_cast<std::size_t>(header) : 0;
    state.datagrams_may_be_empty = header > 0;
    return mentioned >= 0;
}

} // namespace

bool make_datagram_type(PyObject* module) noexcept {
    py::State& state = py::state();
    TransportRecipe recipe = {};
    recipe.name = "bucle.DatagramTransport";
    recipe.doc = "asyncio.DatagramTransport, native.";
    recipe.base = "_FlowControlMixin";
    recipe.second_base = "DatagramTransport";
    recipe.stock_module = kModule;
    recipe.stock = kStock;
    recipe.functions = kFunctions;
    recipe.methods = Slots::kMethods;
    recipe.getset = kAttributes;
    if (!find_rules(state)) {
        return false;
    }
    const bool asks = py::twin_mentions(kModule, "BaseSelectorEventLoop._make_datagram_transport",
                                        "_ensure_fd_no_transport");
    const py::FunctionRow loop_functions[] = {
        {"_make_datagram_transport", make, asks ? &state : nullptr},
        {nullptr, nullptr},
    };
    state.datagram_type = make_transport_type<Datagram>(module, recipe);
    return state.datagram_type != nullptr && add_loop_functions(kModule, kLoop, loop_functions);
}

} // namespace bucle::net
