// sock_sendall and sock_sendto. What sock_sendall has still to send stands in the place of its
// argument: a memoryview, which also keeps the data from being resized meanwhile.
#include "net/sock.hpp"
#include "py/buffer.hpp"
#include "py/call.hpp"

namespace bucle::net {
namespace {

// The rest behind the first `sent` items.
py::Ref rest_of(PyObject* data, Py_ssize_t sent, bool as_bytes) noexcept {
    py::Ref view = PyMemoryView_Check(data) ? py::Ref::borrow(data)
                                            : py::Ref::steal(PyMemoryView_FromObject(data));
    if (view && as_bytes) {
        const Py_buffer& buffer = *PyMemoryView_GET_BUFFER(view.get());
        if (buffer.itemsize != 1 || buffer.ndim != 1) {
            view = py::Ref::steal(PyObject_CallMethod(view.get(), "cast", "s", "B"));
        }
    }
    return view ? py::Ref::steal(PySequence_GetSlice(view.get(), sent, PY_SSIZE_T_MAX)) : py::Ref();
}

struct SendAll {
    static constexpr Stage kSide = kToWrite;
    static constexpr char kName[] = "sock_sendall";

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        const py::Ref data = co.arguments[2].clone();
        const int fd = direct_fd(sock);
        Py_ssize_t size = -1;
        Py_ssize_t sent = 0;
        Outcome outcome = Outcome::failed;
        if (fd >= 0) {
            const py::Buffer buffer(data.get(), PyBUF_SIMPLE);
            if (buffer) {
                size = buffer.size();
                outcome = send_from(fd, buffer.data(), size, sent);
            } else {
                PyErr_Clear(); // the method says what is wrong with it
            }
        }
        const bool direct = size >= 0;
        if (!direct) {
            outcome = send_by_method(sock, data.get(), size, sent);
        }
        if (outcome == Outcome::failed) {
            return outcome;
        }
        sent = outcome == Outcome::blocked ? 0 : sent;
        if (sent == size) {
            result = py::none();
            return Outcome::done;
        }
        if (sent != 0 || co.stage == kStart) {
            py::Ref rest = rest_of(data.get(), sent, direct);
            if (!rest) {
                return Outcome::failed;
            }
            co.arguments[2] = std::move(rest);
        }
        return Outcome::blocked;
    }

    static Outcome send_by_method(PyObject* sock, PyObject* data, Py_ssize_t& size,
                                  Py_ssize_t& sent) noexcept {
        py::Ref count;
        Outcome outcome = outcome_of(py::call_method(sock, py::names().send, data), count);
        if (outcome == Outcome::done) {
            sent = PyLong_AsSsize_t(count.get());
            outcome = sent == -1 && PyErr_Occurred() != nullptr ? Outcome::failed : outcome;
        }
        if (outcome != Outcome::failed) {
            size = PyObject_Size(data);
        }
        return size < 0 ? Outcome::failed : outcome;
    }
};

struct SendTo {
    static constexpr Stage kSide = kToWrite;
    static constexpr char kName[] = "sock_sendto";

    static Outcome attempt(core::Coroutine& co, PyObject* sock, py::Ref& result) noexcept {
        const py::State& state = py::state();
        PyObject* const data = PyTuple_GET_ITEM(co.arguments[2].get(), 0);
        PyObject* const address = PyTuple_GET_ITEM(co.arguments[2].get(), 1);
        return outcome_of(
            co.stage == kStart
                ? py::call_method(sock, state.names.sendto, data, address)
                : py::call_method(sock, state.names.sendto, data, state.zero, address),
            result);
    }
};

} // namespace

const py::FunctionRow sending_functions[] = {
    sock_row(SendAll::kName, operate<SendAll>),
    sock_row(SendTo::kName, operate<SendTo>),
    {nullptr, nullptr},
};

} // namespace bucle::net
