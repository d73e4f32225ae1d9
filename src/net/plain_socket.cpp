// See plain_socket.hpp. How a socket lays its fields out is nobody's promise, so the descriptor and
// the timeout are asked for, by calling what stands behind the two methods.
#include "net/plain_socket.hpp"

#include "net/python_socket.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/gil.hpp"
#include "py/state.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <new>

namespace bucle::net {
namespace {

constexpr Py_ssize_t kWithoutGil = 32768; // of what is sent, from here on

struct PlainSockets {
    static constexpr int kMethods = 5;

    PyTypeObject* type = nullptr; // socket.socket; null: it is not what it should be
    PyObject* methods[kMethods] = {};
    PyCFunction gettimeout = nullptr;
    unsigned version = 0; // of the type, when its methods were found to be these
    char scratch[kMostBytes];
};

PlainSockets& plain_sockets() noexcept {
    return *static_cast<PlainSockets*>(py::state().sockets);
}

PyObject* method_name(int at) noexcept {
    const py::Names& names = py::names();
    PyObject* const in_order[PlainSockets::kMethods] = {names.fileno, names.gettimeout, names.recv,
                                                        names.recv_into, names.send};
    return in_order[at];
}

// Looking its methods up has numbered the state that the type is in.
[[gnu::noinline]] bool examine(PlainSockets& plain) noexcept {
    const py::ErrorScope keep;
    for (int i = 0; i != PlainSockets::kMethods; ++i) {
        const py::Ref found = py::get_attr(reinterpret_cast<PyObject*>(plain.type), method_name(i));
        PyErr_Clear();
        if (found.get() != plain.methods[i]) {
            return false;
        }
    }
    plain.version = py::compat::type_version(plain.type);
    return true;
}

// After a system call that failed. True: try again.
bool interrupted(Outcome& outcome) noexcept {
    if (errno == EINTR) {
        outcome = Outcome::failed;
        return PyErr_CheckSignals() == 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        outcome = Outcome::blocked;
    } else {
        (void)py::raise_os_error(errno);
        py::Ref none;
        outcome = outcome_of({}, none);
    }
    return false;
}

template <class Call>
Outcome call_system(Call call, bool without_gil, Py_ssize_t& count) noexcept {
    Outcome outcome = Outcome::done;
    do {
        if (without_gil) {
            const py::ReleaseGil released;
            count = call();
        } else {
            count = call();
        }
    } while (count < 0 && interrupted(outcome));
    return outcome;
}

} // namespace

bool is_plain_socket(PyObject* sock) noexcept {
    PlainSockets& plain = plain_sockets();
    if (Py_TYPE(sock) != plain.type) {
        return false;
    }
    const unsigned version = py::compat::type_version(plain.type);
    return (version != 0 && version == plain.version) || examine(plain);
}

py::Ref fileno_of(PyObject* sock) noexcept {
    return is_plain_socket(sock) ? py::Ref::steal(py::state().socket_fileno(sock, nullptr))
                                 : py::call_method(sock, py::names().fileno);
}

int direct_fd(PyObject* sock) noexcept {
    if (!is_plain_socket(sock)) {
        return -1;
    }
    const py::Ref timeout = py::Ref::steal(plain_sockets().gettimeout(sock, nullptr));
    if (!timeout) {
        PyErr_Clear(); // there is no memory, as whoever is asked next will say
        return -1;
    }
    const bool waits = !PyFloat_CheckExact(timeout.get()) || PyFloat_AS_DOUBLE(timeout.get()) != 0;
    return waits ? -1 : fd_of_socket(sock);
}

Outcome receive_into(int fd, void* at, Py_ssize_t size, Py_ssize_t& got) noexcept {
    const auto receive = [=]() noexcept { return ::recv(fd, at, static_cast<size_t>(size), 0); };
    return call_system(receive, size > kMostBytes, got);
}

Outcome send_from(int fd, const void* from, Py_ssize_t size, Py_ssize_t& sent) noexcept {
    const auto send = [=]() noexcept { return ::send(fd, from, static_cast<size_t>(size), 0); };
    return call_system(send, size >= kWithoutGil, sent);
}

Outcome receive_bytes(int fd, Py_ssize_t size, py::Ref& result) noexcept {
    char* const scratch = plain_sockets().scratch; // nobody else's while the GIL is held
    Py_ssize_t got = 0;
    const Outcome outcome = receive_into(fd, scratch, size, got);
    if (outcome != Outcome::done) {
        return outcome;
    }
    result = py::Ref::steal(PyBytes_FromStringAndSize(scratch, got));
    return result ? Outcome::done : Outcome::failed;
}

Outcome outcome_of(py::Ref given, py::Ref& result) noexcept {
    if (given) {
        result = std::move(given);
        return Outcome::done;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) == 0 &&
        PyErr_ExceptionMatches(PyExc_InterruptedError) == 0) {
        return Outcome::failed;
    }
    PyErr_Clear();
    return Outcome::blocked;
}

bool find_plain_sockets() noexcept {
    py::State& state = py::state();
    if (state.sockets == nullptr) {
        state.sockets = new (std::nothrow) PlainSockets;
    }
    if (state.sockets == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    PlainSockets& plain = plain_sockets();
    auto* const base = reinterpret_cast<PyObject*>(state.raw_socket_type);
    for (int i = 0; i != PlainSockets::kMethods; ++i) {
        plain.methods[i] = PyObject_GetAttr(base, method_name(i));
        PyErr_Clear();
    }
    plain.gettimeout = function_behind(plain.methods[1]);
    if (PyType_Check(state.socket_class) && plain.gettimeout != nullptr) {
        plain.type = reinterpret_cast<PyTypeObject*>(state.socket_class);
    }
    return true;
}

} // namespace bucle::net
