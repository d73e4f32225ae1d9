// sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into. Addresses are made by the socket's
// own methods; what comes without one from a plain socket is read from its descriptor.
#include "net/sock.hpp"
#include "py/buffer.hpp"
#include "py/call.hpp"

namespace bucle::net {
namespace {

struct Receive {
    static constexpr Stage kSide = kToRead;
    static constexpr char kName[] = "sock_recv";

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        PyObject* const size = co.arguments[2].get();
        int overflow = 0;
        const long most = PyLong_CheckExact(size) ? PyLong_AsLongAndOverflow(size, &overflow) : 0;
        const int fd = most > 0 && most <= kMostBytes ? direct_fd(sock) : -1;
        return fd >= 0 ? receive_bytes(fd, most, result)
                       : outcome_of(py::call_method(sock, py::names().recv, size), result);
    }
};

struct ReceiveInto {
    static constexpr Stage kSide = kToRead;
    static constexpr char kName[] = "sock_recv_into";

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        PyObject* const object = co.arguments[2].get();
        if (const int fd = direct_fd(sock); fd >= 0) {
            const py::Buffer buffer(object, PyBUF_WRITABLE);
            if (buffer && buffer.size() != 0) {
                return receive(fd, buffer, result);
            }
            PyErr_Clear(); // the method says what is wrong with it
        }
        return outcome_of(py::call_method(sock, py::names().recv_into, object), result);
    }

    static Outcome receive(int fd, const py::Buffer& buffer, py::Ref& result) noexcept {
        Py_ssize_t got = 0;
        const Outcome outcome = receive_into(fd, buffer.data(), buffer.size(), got);
        if (outcome == Outcome::done) {
            result = py::Ref::steal(PyLong_FromSsize_t(got));
        }
        return outcome == Outcome::done && !result ? Outcome::failed : outcome;
    }
};

struct ReceiveFrom {
    static constexpr Stage kSide = kToRead;
    static constexpr char kName[] = "sock_recvfrom";

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        return outcome_of(py::call_method(sock, py::names().recvfrom, co.arguments[2].get()),
                          result);
    }
};

struct ReceiveFromInto {
    static constexpr Stage kSide = kToRead;
    static constexpr char kName[] = "sock_recvfrom_into";

    // Buffer and size. A size that was not given is the buffer's, as it is at the start.
    static py::Ref find_size(core::Coroutine& co) noexcept {
        PyObject* const given = co.arguments[2].get();
        PyObject* const buffer = PyTuple_GET_ITEM(given, 0);
        const int sized = co.stage != kStart ? 1 : PyObject_IsTrue(PyTuple_GET_ITEM(given, 1));
        if (sized != 0) {
            return sized < 0 ? py::Ref() : py::Ref::borrow(given);
        }
        const Py_ssize_t length = PyObject_Size(buffer);
        const py::Ref size = length < 0 ? py::Ref() : py::Ref::steal(PyLong_FromSsize_t(length));
        py::Ref both = size ? py::Ref::steal(PyTuple_Pack(2, buffer, size.get())) : py::Ref();
        if (both) {
            co.arguments[2] = both.clone();
        }
        return both;
    }

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        const py::Ref both = find_size(co);
        if (!both) {
            return Outcome::failed;
        }
        return outcome_of(py::call_method(sock, py::names().recvfrom_into,
                                          PyTuple_GET_ITEM(both.get(), 0),
                                          PyTuple_GET_ITEM(both.get(), 1)),
                          result);
    }
};

} // namespace

const py::FunctionRow receiving_functions[] = {
    sock_row(Receive::kName, operate<Receive>),
    sock_row(ReceiveInto::kName, operate<ReceiveInto>),
    sock_row(ReceiveFrom::kName, operate<ReceiveFrom>),
    sock_row(ReceiveFromInto::kName, operate<ReceiveFromInto>),
    {nullptr, nullptr},
};

} // namespace bucle::net
