// sock_connect and sock_accept. What makes a socket or an address goes by the socket's own methods.
#include "core/awaiting.hpp"
#include "net/sock.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <sys/socket.h>

namespace bucle::net {
namespace {

constexpr char kConnect[] = "sock_connect";
constexpr std::uint8_t kResolving = kFirstOwnStage;

// The items of something that is unpacked into `count` names.
py::Ref unpack(PyObject* object, Py_ssize_t count) noexcept {
    py::Ref items = py::Ref::steal(PySequence_Tuple(object));
    const Py_ssize_t size = items ? PyTuple_GET_SIZE(items.get()) : count;
    if (size > count) {
        PyErr_Format(PyExc_ValueError, "too many values to unpack (expected %zd)", count);
    } else if (size < count) {
        PyErr_Format(PyExc_ValueError, "not enough values to unpack (expected %zd, got %zd)", count,
                     size);
    }
    return size == count ? std::move(items) : py::Ref();
}

// 1 when the socket has an address that may be a name, -1 with an error set.
int is_internet(PyObject* family) noexcept {
    for (const int known : {AF_INET, AF_INET6}) {
        const py::Ref number = py::Ref::steal(PyLong_FromLong(known));
        const int same = number ? PyObject_RichCompareBool(family, number.get(), Py_EQ) : -1;
        if (same != 0) {
            return same;
        }
    }
    return 0;
}

// loop._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto, loop=loop)
core::Step resolve(core::Coroutine& co, PyObject* family) noexcept {
    const py::Names& names = py::names();
    PyObject* const loop = co.arguments[0].get();
    PyObject* const sock = co.arguments[1].get();
    const py::Ref type = py::get_attr(sock, names.type);
    const py::Ref protocol = type ? py::get_attr(sock, names.proto) : py::Ref();
    const py::Ref keywords =
        protocol
            ? py::Ref::steal(PyTuple_Pack(4, names.family, names.type, names.proto, names.loop))
            : py::Ref();
    const py::Ref resolving =
        keywords
            ? py::call_method_kw(loop, names._ensure_resolved, keywords.get(),
                                 co.arguments[2].get(), family, type.get(), protocol.get(), loop)
            : py::Ref();
    return resolving ? co.wait(core::awaitable_of(resolving.get()), kResolving) : core::Step::fail;
}

// The address of the first of what was found becomes the one to connect to.
bool take_address(core::Coroutine& co, PyObject* found) noexcept {
    const py::Ref first = py::Ref::steal(PySequence_GetItem(found, 0));
    const py::Ref items = first ? unpack(first.get(), 5) : py::Ref();
    if (items) {
        co.arguments[2] = py::Ref::borrow(PyTuple_GET_ITEM(items.get(), 4));
    }
    return static_cast<bool>(items);
}

Outcome begin(core::Coroutine& co) noexcept {
    py::Ref none;
    return outcome_of(
        py::call_method(co.arguments[1].get(), py::names().connect, co.arguments[2].get()), none);
}

// What became of it, once the socket can be written to.
Outcome ask(core::Coroutine& co) noexcept {
    const py::Ref level = py::Ref::steal(PyLong_FromLong(SOL_SOCKET));
    const py::Ref option = py::Ref::steal(PyLong_FromLong(SO_ERROR));
    const py::Ref code = level && option
                             ? py::call_method(co.arguments[1].get(), py::names().getsockopt,
                                               level.get(), option.get())
                             : py::Ref();
    const int failed = code ? PyObject_RichCompareBool(code.get(), py::state().zero, Py_NE) : -1;
    if (failed == 0) {
        return Outcome::done;
    }
    if (failed > 0) {
        const py::Ref address = py::Ref::steal(PyObject_Format(co.arguments[2].get(), nullptr));
        const py::Ref text =
            address ? py::Ref::steal(PyUnicode_FromFormat("Connect call failed %U", address.get()))
                    : py::Ref();
        py::Ref error = text ? py::call(PyExc_OSError, code.get(), text.get()) : py::Ref();
        if (error) {
            py::compat::put_exception(std::move(error));
        }
    }
    py::Ref none;
    return outcome_of({}, none);
}

core::Step connect(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (error) {
        end_waiting(co);
        return core::fail_with(std::move(error));
    }
    Outcome outcome = Outcome::failed;
    if (co.stage == kStart) {
        const py::Ref family =
            check_socket(co) ? py::get_attr(co.arguments[1].get(), py::names().family) : py::Ref();
        const int named = family ? is_internet(family.get()) : -1;
        if (named != 0) {
            return named < 0 ? core::Step::fail : resolve(co, family.get());
        }
        outcome = begin(co);
    } else if (co.stage == kResolving) {
        outcome = take_address(co, value.get()) ? begin(co) : Outcome::failed;
    } else {
        outcome = ask(co);
    }
    if (outcome == Outcome::blocked) {
        return wait_until_ready(co, kToWrite, kConnect);
    }
    end_waiting(co);
    return outcome == Outcome::done ? core::finish_with_none(result) : core::Step::fail;
}

struct Accept {
    static constexpr Stage kSide = kToRead;
    static constexpr char kName[] = "sock_accept";

    static Outcome attempt(core::Coroutine&, PyObject* sock, py::Ref& result) noexcept {
        const py::Names& names = py::names();
        py::Ref accepted;
        const Outcome outcome = outcome_of(py::call_method(sock, names.accept), accepted);
        if (outcome != Outcome::done) {
            return outcome;
        }
        py::Ref both = unpack(accepted.get(), 2);
        const py::Ref set =
            both ? py::call_method(PyTuple_GET_ITEM(both.get(), 0), names.setblocking, Py_False)
                 : py::Ref();
        return outcome_of(set ? std::move(both) : py::Ref(), result);
    }
};

} // namespace

const py::FunctionRow connecting_functions[] = {
    sock_row(kConnect, connect),
    sock_row(Accept::kName, operate<Accept>),
    {nullptr, nullptr},
};

} // namespace bucle::net
