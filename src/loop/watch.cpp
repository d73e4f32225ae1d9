// Who watches which descriptor: our own transports, which claim theirs, and whoever calls
// add_reader() and add_writer(). The checked forms of these refuse a transport's descriptor, the
// underscored ones are what asyncio's own transports call. What stands for a side, a handle or a
// Readiness, is queued when its descriptor is ready, the reader before the writer.
#include "loop/loop.hpp"

#include "core/context.hpp"
#include "core/handle.hpp"
#include "loop/readiness.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::loop {
namespace {

constexpr unsigned mask_of(Side side) noexcept {
    return side == Side::reader ? EpollSet::kReadable : EpollSet::kWritable;
}

PyObject*& slot_of(Watch& watch, Side side) noexcept {
    return side == Side::reader ? watch.reader : watch.writer;
}

unsigned mask_of(const Watch& watch) noexcept {
    return (watch.reader != nullptr ? EpollSet::kReadable : 0U) |
           (watch.writer != nullptr ? EpollSet::kWritable : 0U);
}

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

Watch* watch_of(LoopCore& core, int fd) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (at >= core.watches.size()) {
        if (!core.watches.extend_to(at + 16)) {
            PyErr_NoMemory();
            return nullptr;
        }
    }
    return &core.watches[at];
}

// Cancels and drops what a slot held.
void retire(PyObject* handle) noexcept {
    if (handle != nullptr) {
        if (is_readiness(handle)) {
            set_watched(handle, false);
        } else if (!core::cancel_handle(handle, *core::handle_core(handle))) {
            PyErr_WriteUnraisable(handle);
        }
        py::drop(handle);
    }
}

unsigned mask_of(const LoopCore& core, int fd) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    return at < core.watches.size() ? mask_of(core.watches[at]) : 0;
}

// A failed change has made the set forget the descriptor: what watched it is gone as well.
void forget(LoopCore& core, int fd) noexcept {
    Watch& watch = core.watches[static_cast<std::size_t>(fd)];
    const Watch gone = std::exchange(watch, Watch{nullptr, nullptr, watch.transport});
    const py::ErrorScope keep;
    retire(gone.reader);
    retire(gone.writer);
}

bool set_mask(LoopCore& core, int fd, unsigned before, unsigned after) noexcept {
    if (!open_descriptors(core)) {
        return false;
    }
    if (const int error = core.descriptors.set(fd, after); error != 0) {
        if (before != 0) {
            --core.watched;
            forget(core, fd);
        }
        return py::raise_os_error(error);
    }
    core.watched += (before == 0 ? 1U : 0U);
    core.watched -= (after == 0 ? 1U : 0U);
    return true;
}

// Puts what is to be notified into its slot; false with an error set. The kernel is asked before
// the table is made as long as the number is large.
bool put(LoopCore& core, int fd, Side side, py::Ref watcher) noexcept {
    const unsigned before = mask_of(core, fd);
    if (!set_mask(core, fd, before, before | mask_of(side))) {
        return false;
    }
    Watch* const watch = watch_of(core, fd);
    if (watch == nullptr) { // it was not in the table, so nothing else is watched
        const py::ErrorScope keep;
        (void)set_mask(core, fd, before | mask_of(side), 0);
        return false;
    }
    retire(std::exchange(slot_of(*watch, side), watcher.release()));
    return true;
}

template <Side side>
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    constexpr const char* kMethod = side == Side::reader ? "_add_reader" : "_add_writer";
    CallbackArgs given;
    if (!sort_callback_args(kMethod, kAddNames, args, nargs, kwnames, given,
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
    CallbackArgs given;
    if (!sort_callback_args(side == Side::reader ? "add_reader" : "add_writer", kAddNames, args,
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
    if (fd == kTooLarge || static_cast<std::size_t>(fd) >= core.watches.size()) {
        Py_RETURN_FALSE;
    }
    Watch& watch = core.watches[static_cast<std::size_t>(fd)];
    const unsigned before = mask_of(watch);
    if ((before & mask_of(side)) == 0) {
        Py_RETURN_FALSE;
    }
    PyObject* old = std::exchange(slot_of(watch, side), nullptr);
    const bool ok = set_mask(core, fd, before, before & ~mask_of(side));
    const py::ErrorScope keep;
    retire(old);
    return ok ? py::new_ref(Py_True) : nullptr;
}

template <Side side>
PyObject* remove_checked(PyObject* self, PyObject* object) noexcept {
    return ensure_no_transport(self, object) ? remove<side>(self, object) : nullptr;
}

// The transport that has a descriptor, or None: for those who must not touch it.
PyObject* transport_of(PyObject* self, PyObject* object) noexcept {
    const LoopCore& core = *loop_core(self);
    const int fd = descriptor_of(object);
    if (fd < 0) {
        return fd == kTooLarge ? py::new_ref(Py_None) : nullptr;
    }
    const auto at = static_cast<std::size_t>(fd);
    return py::value_or_none(at < core.watches.size() ? core.watches[at].transport : nullptr);
}

// What is watched of a descriptor, for the repr of asyncio's transports: 1 reading, 2 writing.
PyObject* watched_events(PyObject* self, PyObject* object) noexcept {
    const LoopCore& core = *loop_core(self);
    const int fd = descriptor_of(object);
    if (fd < 0) {
        return fd == kTooLarge ? PyLong_FromLong(0) : nullptr;
    }
    const auto at = static_cast<std::size_t>(fd);
    return PyLong_FromUnsignedLong(at < core.watches.size() ? mask_of(core.watches[at]) : 0);
}

bool queue(LoopCore& core, PyObject* handle) noexcept {
    if (handle != nullptr && is_readiness(handle)) {
        return core::push_ready(core, core::ReadyKind::readiness, py::Ref::borrow(handle));
    }
    return handle == nullptr || core::handle_core(handle)->cancelled ||
           core::push_ready(core, core::ReadyKind::handle, py::Ref::borrow(handle));
}

} // namespace

int free_descriptor(PyObject* loop, PyObject* object) noexcept {
    return ensure_no_transport(loop, object) ? watchable(object) : -1;
}

bool watch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept {
    if (fd < 0) {
        return py::raise_os_error(EBADF);
    }
    if (!core::check_closed(core) || (core.forked && !renew_after_fork(core)) ||
        !put(core, fd, side, py::Ref::borrow(readiness))) {
        return false;
    }
    set_watched(readiness, true);
    return true;
}

void unwatch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (readiness == nullptr || fd < 0 || at >= core.watches.size() ||
        slot_of(core.watches[at], side) != readiness) {
        return;
    }
    const py::ErrorScope keep;
    if (core.forked && !renew_after_fork(core)) {
        PyErr_WriteUnraisable(core.loop);
    }
    Watch& watch = core.watches[at];
    const unsigned before = mask_of(watch);
    PyObject* const old = std::exchange(slot_of(watch, side), nullptr);
    if (!set_mask(core, fd, before, before & ~mask_of(side))) {
        PyErr_WriteUnraisable(core.loop);
    }
    retire(old);
}

bool is_watched(const LoopCore& core, int fd, Side side) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    return fd >= 0 && at < core.watches.size() && (mask_of(core.watches[at]) & mask_of(side)) != 0;
}

bool claim_fd(LoopCore& core, int fd, PyObject* transport) noexcept {
    Watch* const watch = watch_of(core, fd);
    if (watch != nullptr) {
        watch->transport = transport;
    }
    return watch != nullptr;
}

void release_fd(LoopCore& core, int fd, const PyObject* transport) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (at < core.watches.size() && core.watches[at].transport == transport) {
        core.watches[at].transport = nullptr;
    }
}

bool queue_ready_descriptors(LoopCore& core, const EpollSet::Batch& batch) noexcept {
    for (int i = 0; i != batch.count; ++i) {
        const EpollSet::Event event = core.descriptors.resolve(batch.events[i]);
        if (event.fd == EpollSet::kNested) {
            core.uv.dispatch();
            core.metrics.wakeups += core.uv.take_woken() ? 1 : 0;
            continue;
        }
        if (event.fd == core.signal_fd) {
            if (!deliver_signals()) {
                return false;
            }
            continue;
        }
        const auto at = static_cast<std::size_t>(event.fd);
        if (at >= core.watches.size()) {
            continue;
        }
        const Watch watch = core.watches[at];
        if (((event.mask & EpollSet::kReadable) != 0 && !queue(core, watch.reader)) ||
            ((event.mask & EpollSet::kWritable) != 0 && !queue(core, watch.writer))) {
            return false;
        }
    }
    return true;
}

void drop_watches(LoopCore& core) noexcept {
    base::Growable<Watch> watches;
    watches.swap(core.watches);
    core.watched = 0;
    for (const Watch& watch : watches) {
        for (PyObject* watcher : {watch.reader, watch.writer}) {
            if (watcher != nullptr && is_readiness(watcher)) {
                set_watched(watcher, false);
            }
            py::drop(watcher);
        }
    }
}

namespace {

constexpr char kFd[] = "fd";
constexpr char kRemoveReader[] = "remove_reader";
constexpr char kRemoveWriter[] = "remove_writer";

} // namespace

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
