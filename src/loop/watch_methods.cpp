// add_reader, add_writer, their removals, and what asyncio's own code asks of the table of watches
// (watch.cpp). The checked forms refuse a transport's descriptor, the underscored ones are what
// asyncio's own transports call.
#include "loop/loop.hpp"

#include "core/context.hpp"
#include "core/handle.hpp"
#include "loop/readiness.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

constexpr const char* kAddNames[] = {"fd", "callback", nullptr};

constexpr int kTooLarge = -2; // no descriptor, but no error either before it is to be watched

// The number behind an int or an object with fileno(); -1 with asyncio's error set.
int descriptor_of(PyObject* object) noexcept {
    py::Ref number;
    if (PyLong_Check(object)) {
        number = py::Ref::borrow(object);
    } else {
        py::Ref fileno = py::call_method(object, py::names().fileno);
        number = fileno ? py::Ref::steal(PyNumber_Long(fileno.get())) : py::Ref();
        if (!number) {
            if (PyErr_ExceptionMatches(PyExc_AttributeError) ||
                PyErr_ExceptionMatches(PyExc_TypeError) ||
                PyErr_ExceptionMatches(PyExc_ValueError)) {
                PyErr_Clear();
                PyErr_Format(PyExc_ValueError, "Invalid file object: %R", object);
            }
            return -1;
        }
    }
    const long fd = PyLong_AsLong(number.get());
    if (fd == -1 && PyErr_Occurred() != nullptr) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear();
        return kTooLarge;
    }
    if (fd > INT_MAX) {
        return kTooLarge;
    }
    if (fd < 0) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %ld", fd);
        return -1;
    }
    return static_cast<int>(fd);
}

int watchable(PyObject* object) noexcept {
    const int fd = descriptor_of(object);
    if (fd == kTooLarge) {
        PyErr_SetString(PyExc_OverflowError, "Python int too large to convert to C int");
        return -1;
    }
    return fd;
}

bool ensure_no_transport(PyObject* self, PyObject* fd) noexcept {
    const LoopCore& core = *loop_core(self);
    const auto number = static_cast<std::size_t>(PyLong_CheckExact(fd) ? PyLong_AsLong(fd) : 0);
    PyErr_Clear();
    if (!PyLong_CheckExact(fd) ||
        (number < core.watches.size() && core.watches[number].transport != nullptr)) {
        return static_cast<bool>(py::call_method(self, py::names()._ensure_fd_no_transport, fd));
    }
    if (Py_TYPE(self) == py::state().loop_type && !py::compat::may_have_instance_dict(self)) {
        return true; // and none is made: see refresh_overrides()
    }
    py::Ref dict = py::Ref::steal(PyObject_GenericGetDict(self, nullptr));
    if (!dict) {
        return false;
    }
    const int used = PyDict_Contains(dict.get(), py::names()._transports);
    return used == 0 ||
           (used > 0 && py::call_method(self, py::names()._ensure_fd_no_transport, fd));
}

template <Side side>
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    constexpr const char* kMethod = side == Side::reader ? "_add_reader" : "_add_writer";
    py::CallbackArgs given;
    if (!py::sort_callback_args(kMethod, kAddNames, args, nargs, kwnames, given,
                                py::state().watching_takes_context)) {
        return nullptr;
    }
    LoopCore& core = *loop_core(self);
    const int fd = core::check_closed(core) ? watchable(given.args[0]) : -1;
    if (fd < 0) {
        return nullptr;
    }
    if (core.forked && !renew_after_fork(core)) {
        return nullptr;
    }
    bool failed = false;
    py::Ref context = given.context == nullptr || given.context == Py_None
                          ? core::copy_current_context(failed)
                          : py::Ref::borrow(given.context);
    py::Ref handle = failed ? py::Ref()
                            : core::make_handle(core, given.args[1], given.args + 2,
                                                given.nargs - 2, context.get());
    return handle && put(core, fd, side, handle.clone()) ? handle.release() : nullptr;
}

template <Side side>
PyObject* add_checked(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* kwnames) noexcept {
    py::CallbackArgs given;
    if (!py::sort_callback_args(side == Side::reader ? "add_reader" : "add_writer", kAddNames, args,
                                nargs, kwnames, given, false) ||
        !ensure_no_transport(self, given.args[0])) {
        return nullptr;
    }
    return py::Ref::steal(add<side>(self, args, nargs, kwnames)) ? py::new_ref(Py_None) : nullptr;
}

template <Side side>
PyObject* remove(PyObject* self, PyObject* object) noexcept {
    LoopCore& core = *loop_core(self);
    if (core.closed()) {
        Py_RETURN_FALSE;
    }
    const int fd = descriptor_of(object);
    if (fd == -1 || (core.forked && !renew_after_fork(core))) {
        return nullptr;
    }
    const int watched = fd == kTooLarge ? 0 : take_off(core, fd, side);
    return watched < 0 ? nullptr : PyBool_FromLong(watched);
}

template <Side side>
PyObject* remove_checked(PyObject* self, PyObject* object) noexcept {
    return ensure_no_transport(self, object) ? remove<side>(self, object) : nullptr;
}

// The transport that has a descriptor, or None: for those who must not touch it.
PyObject* transport_of(PyObject* self, PyObject* object) noexcept {
    const int fd = descriptor_of(object);
    if (fd < 0) {
        return fd == kTooLarge ? py::new_ref(Py_None) : nullptr;
    }
    return py::value_or_none(transport_at(*loop_core(self), fd));
}

// What is watched of a descriptor, for the repr of asyncio's transports: 1 reading, 2 writing.
PyObject* watched_events(PyObject* self, PyObject* object) noexcept {
    const LoopCore& core = *loop_core(self);
    const int fd = descriptor_of(object);
    if (fd < 0) {
        return fd == kTooLarge ? PyLong_FromLong(0) : nullptr;
    }
    return PyLong_FromLong((is_watched(core, fd, Side::reader) ? EpollSet::kReadable : 0U) |
                           (is_watched(core, fd, Side::writer) ? EpollSet::kWritable : 0U));
}

constexpr char kFd[] = "fd";
constexpr char kRemoveReader[] = "remove_reader";
constexpr char kRemoveWriter[] = "remove_writer";

} // namespace

int free_descriptor(PyObject* loop, PyObject* object) noexcept {
    return ensure_no_transport(loop, object) ? watchable(object) : -1;
}

PyMethodDef watch_methods[11] = {
    {"add_reader", py::as_method(add_checked<Side::reader>), METH_FASTCALL | METH_KEYWORDS,
     "add_reader($self, /, fd, callback, *args)\n--\n\n"
     "Call the callback whenever the descriptor can be read."},
    {"add_writer", py::as_method(add_checked<Side::writer>), METH_FASTCALL | METH_KEYWORDS,
     "add_writer($self, /, fd, callback, *args)\n--\n\n"
     "Call the callback whenever the descriptor can be written."},
    {"remove_reader", py::as_method(one_argument<remove_checked<Side::reader>, kRemoveReader, kFd>),
     METH_FASTCALL | METH_KEYWORDS,
     "remove_reader($self, /, fd)\n--\n\n"
     "Stop watching a descriptor for reading; False if it was not watched."},
    {"remove_writer", py::as_method(one_argument<remove_checked<Side::writer>, kRemoveWriter, kFd>),
     METH_FASTCALL | METH_KEYWORDS,
     "remove_writer($self, /, fd)\n--\n\n"
     "Stop watching a descriptor for writing; False if it was not watched."},
    {"_add_reader", py::as_method(add<Side::reader>), METH_FASTCALL | METH_KEYWORDS,
     nullptr /* describe_watching() */},
    {"_add_writer", py::as_method(add<Side::writer>), METH_FASTCALL | METH_KEYWORDS,
     nullptr /* describe_watching() */},
    {"_remove_reader", remove<Side::reader>, METH_O,
     "_remove_reader($self, fd, /)\n--\n\n"
     "remove_reader() that does not ask whether a transport has the descriptor."},
    {"_remove_writer", remove<Side::writer>, METH_O,
     "_remove_writer($self, fd, /)\n--\n\n"
     "remove_writer() that does not ask whether a transport has the descriptor."},
    {"_watched_events", watched_events, METH_O,
     "_watched_events($self, fd, /)\n--\n\n"
     "Return the events that a descriptor is watched for, as a mask."},
    {"_transport_of", transport_of, METH_O,
     "_transport_of($self, fd, /)\n--\n\n"
     "Return the native transport whose descriptor it is, or None."},
    {nullptr, nullptr, 0, nullptr},
};

void describe_watching() noexcept {
    const bool context = py::state().watching_takes_context;
    for (PyMethodDef& def : watch_methods) {
        if (def.ml_meth == py::as_method(add<Side::reader>)) {
            def.ml_doc =
                context ? "_add_reader($self, /, fd, callback, *args, context=None)\n--\n\n"
                          "add_reader() that does not ask whether a transport has the descriptor."
                        : "_add_reader($self, /, fd, callback, *args)\n--\n\n"
                          "add_reader() that does not ask whether a transport has the descriptor.";
        } else if (def.ml_meth == py::as_method(add<Side::writer>)) {
            def.ml_doc =
                context ? "_add_writer($self, /, fd, callback, *args, context=None)\n--\n\n"
                          "add_writer() that does not ask whether a transport has the descriptor."
                        : "_add_writer($self, /, fd, callback, *args)\n--\n\n"
                          "add_writer() that does not ask whether a transport has the descriptor.";
        }
    }
}

} // namespace bucle::loop
