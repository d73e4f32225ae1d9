// Listener: accepts the connections of one listening socket, as asyncio's _accept_connection does:
// as many as the backlog in one go. For each it makes the protocol and the transport at once, where
// asyncio starts a task that does. TLS connections take asyncio's own way.
#include "core/context.hpp"
#include "net/address.hpp"
#include "net/context_scope.hpp"
#include "net/errors.hpp"
#include "net/net.hpp"
#include "net/python_socket.hpp"
#include "net/socket_transport.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

namespace bucle::net {
namespace {

constexpr double kRetryAfter = 1.0; // asyncio's ACCEPT_RETRY_DELAY

struct Listener {
    PyObject_HEAD loop::LoopCore* scheduler;
    py::Ref loop;
    py::Ref factory;
    py::Ref socket;
    py::Ref server;
    py::Ref context; // copied for each connection; null: an empty one
    py::Ref again;   // what listens anew after an accept without resources
    long backlog;
};

Listener& as_listener(PyObject* self) noexcept {
    return *reinterpret_cast<Listener*>(self);
}

// A descriptor that is closed unless somebody takes it.
class Accepted {
  public:
    explicit Accepted(int fd) noexcept : fd_(fd) {}
    Accepted(const Accepted&) = delete;
    Accepted& operator=(const Accepted&) = delete;
    ~Accepted() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    int get() const noexcept { return fd_; }
    void release() noexcept { fd_ = -1; }

  private:
    int fd_;
};

py::Ref connection_context(const Listener& listener, bool& failed) noexcept {
    failed = false;
    if (!listener.context) {
        return {};
    }
    py::Ref copy = py::Ref::steal(PyContext_Copy(listener.context.get()));
    failed = !copy;
    return copy;
}

// What goes wrong with one connection is told in debug mode only. False: it ends the run.
bool report_creation(const Listener& listener, PyObject* protocol) noexcept {
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    if (!listener.scheduler->debug()) {
        return true;
    }
    const py::Names& names = py::names();
    const py::Handling handled(error.get());
    return core::report_to_loop(
        listener.loop.get(),
        py::Ref::steal(PyUnicode_FromString("Error on transport creation for incoming connection")),
        {{names.exception, error.get()}, {names.protocol, protocol}});
}

// Null with an error set. A context that is empty stays, or becomes, null.
py::Ref make_protocol(const Listener& listener, py::Ref& context) noexcept {
    const ContextScope scope(*listener.scheduler, context);
    return scope ? py::call(listener.factory.get()) : py::Ref();
}

bool connect(Listener& listener, Accepted& accepted, const SocketAddress& address) noexcept {
    bool failed = false;
    py::Ref context = connection_context(listener, failed);
    if (failed) {
        return false;
    }
    const py::Ref protocol = make_protocol(listener, context);
    Connection connection;
    if (protocol) {
        connection.peername =
            is_known_family(address.any.sa_family) ? address_object(address) : py::Ref();
    }
    if (PyErr_Occurred() != nullptr) {
        return report_creation(listener, protocol.get());
    }
    connection.fd = accepted.get();
    connection.family = address.any.sa_family;
    connection.protocol = protocol.get();
    connection.server = listener.server.get();
    connection.context = context.get();
    connection.context_known = true;
    if (!make_socket_transport(*listener.scheduler, std::move(connection))) {
        return report_creation(listener, protocol.get());
    }
    accepted.release();
    return true;
}

bool log_connection(const Listener& listener, int fd) noexcept {
    const py::Ref number = py::Ref::steal(PyLong_FromLong(fd));
    return number && log(kSocketLog, "debug", "%r got a new connection: fd %r",
                         listener.server.get(), number.get());
}

// Without descriptors or memory the listening socket stays ready: it is left alone for a while.
bool out_of_resources(Listener& listener) noexcept {
    const py::Ref error = py::compat::take_exception();
    const py::Names& names = py::names();
    const py::Handling handled(error.get());
    const py::Ref view = py::call(py::state().transport_socket, listener.socket.get());
    const py::Ref fd = py::Ref::steal(PyLong_FromLong(fd_of_socket(listener.socket.get())));
    const py::Ref delay = py::Ref::steal(PyFloat_FromDouble(kRetryAfter));
    return view && fd && delay &&
           core::report_to_loop(
               listener.loop.get(),
               py::Ref::steal(PyUnicode_FromString("socket.accept() out of system resource")),
               {{names.exception, error.get()}, {names.socket, view.get()}}) &&
           py::call_method(listener.loop.get(), names._remove_reader, fd.get()) &&
           py::call_method(listener.loop.get(), names.call_later, delay.get(),
                           listener.again.get());
}

bool accept_ready(PyObject* self) noexcept {
    Listener& listener = as_listener(self);
    for (long i = 0; i <= listener.backlog; ++i) {
        SocketAddress address;
        address.length = sizeof(sockaddr_un); // the largest of the known ones
        const int listening = fd_of_socket(listener.socket.get());
        if (listening < 0) {
            return true;
        }
        Accepted accepted(
            ::accept4(listening, &address.any, &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (accepted.get() >= 0) {
            if ((listener.scheduler->debug() && !log_connection(listener, accepted.get())) ||
                !connect(listener, accepted, address)) {
                return false;
            }
            continue;
        }
        switch (const int error = errno; error) {
        case EAGAIN:
        case EINTR:
            return true;
        case ECONNABORTED:
            continue;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            (void)py::raise_os_error(error);
            return out_of_resources(listener);
        default:
            return py::raise_os_error(error);
        }
    }
    return true;
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    const Listener& listener = as_listener(self);
    for (const py::Ref* ref : {&listener.loop, &listener.factory, &listener.socket,
                               &listener.server, &listener.context, &listener.again}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    Listener& listener = as_listener(self);
    for (py::Ref* ref : {&listener.loop, &listener.factory, &listener.socket, &listener.server,
                         &listener.context, &listener.again}) {
        ref->reset();
    }
    return 0;
}

void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    (void)clear(self);
    py::free_instance(self);
}

// loop._listen(protocol_factory, sock, server, backlog, context, again)
PyObject* listen(PyObject* self, PyObject* const* args, Py_ssize_t nargs) noexcept {
    if (nargs != 6) {
        return py::raise_type_error("_listen() takes 6 arguments");
    }
    loop::LoopCore& core = *loop::loop_core(self);
    const py::Ref made = py::Ref::steal(py::allocate(py::state().listener_type));
    if (!made) {
        return nullptr;
    }
    Listener& listener = as_listener(made.get());
    listener.scheduler = &core;
    listener.loop = py::Ref::borrow(self);
    listener.factory = py::Ref::borrow(args[0]);
    listener.socket = py::Ref::borrow(args[1]);
    listener.server = py::Ref::borrow(args[2]);
    listener.backlog = PyLong_AsLong(args[3]);
    bool failed = false;
    listener.context =
        args[4] != Py_None ? py::Ref::borrow(args[4]) : core::copy_current_context(failed);
    listener.again = py::Ref::borrow(args[5]);
    if (failed || (listener.backlog == -1 && PyErr_Occurred() != nullptr)) {
        return nullptr;
    }
    const py::Ref readiness =
        loop::make_readiness(made.get(), accept_ready, "Loop._accept_connection");
    return none_if(readiness &&
                   loop::watch(core, fd_of_socket(args[1]), loop::Side::reader, readiness.get()));
}

PyMethodDef listener_methods[] = {
    {"_listen", py::as_method(listen), METH_FASTCALL,
     "_listen($self, protocol_factory, sock, server, backlog, context, again, /)\n--\n\n"
     "Accept connections of a listening socket from now on."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

bool make_listener_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {
        "bucle.listener", slots,   sizeof(Listener) - sizeof(PyObject), alignof(Listener),
        nullptr,          nullptr, Py_TPFLAGS_DISALLOW_INSTANTIATION};
    py::State& state = py::state();
    state.listener_type = py::make_type(module, recipe, nullptr);
    return state.listener_type != nullptr &&
           py::add_methods_for(state.loop_type, state.loop_type, listener_methods);
}

} // namespace bucle::net
