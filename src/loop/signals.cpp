// Signals. The C handler of CPython writes a byte to the wake-up descriptor; that is one end of a
// socket pair made once a process, whose other end is watched by whichever loop polls in the main
// thread. The descriptor is set at the first such poll of a run and restored when the run ends,
// unless add_signal_handler() claims it: then bytes that come while no loop runs wait for the next.
#include "loop/loop.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

#include <atomic>

#include <sys/socket.h>
#include <unistd.h>

namespace bucle::loop {
namespace {

// Of the process, like the wake-up descriptor itself; numbers only.
int read_end = -1;
int write_end = -1;
std::atomic<bool> claimed_by_handlers = false;
unsigned long main_thread_id = 0;

bool in_main_thread() noexcept {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return false;
    }
    if (main_thread_id == 0) {
        py::Ref thread = py::call(py::state().main_thread);
        py::Ref ident =
            thread ? py::Ref::steal(PyObject_GetAttrString(thread.get(), "ident")) : py::Ref();
        main_thread_id = ident ? PyLong_AsUnsignedLong(ident.get()) : 0;
        PyErr_Clear();
    }
    return main_thread_id == PyThread_get_thread_ident();
}

// signal.set_wakeup_fd(fd, warn_on_full_buffer=False); -2 with an error set.
int set_wakeup_fd(int fd) noexcept {
    py::Ref number = py::Ref::steal(PyLong_FromLong(fd));
    py::Ref keywords = py::Ref::steal(PyTuple_Pack(1, py::names().warn_on_full_buffer));
    if (!number || !keywords) {
        return -2;
    }
    PyObject* stack[] = {number.get(), Py_False};
    py::Ref old =
        py::Ref::steal(PyObject_Vectorcall(py::state().set_wakeup_fd, stack, 1, keywords.get()));
    return old ? static_cast<int>(PyLong_AsLong(old.get())) : -2;
}

void close_pair() noexcept {
    if (read_end >= 0) {
        ::close(read_end);
        ::close(write_end);
    }
    read_end = write_end = -1;
}

} // namespace

int signal_write_end() noexcept {
    if (write_end < 0) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        read_end = ends[0];
        write_end = ends[1];
    }
    return write_end;
}

int signal_read_end() noexcept {
    return read_end;
}

void claim_wakeup_fd(bool claimed) noexcept {
    claimed_by_handlers = claimed;
}

bool signals_claimed() noexcept {
    return claimed_by_handlers && in_main_thread();
}

bool watch_signals(LoopCore& core) noexcept {
    if (core.wakeup_fd_set) [[likely]] {
        return true;
    }
    if (!in_main_thread()) {
        return true;
    }
    const int end = signal_write_end();
    if (end < 0) {
        return false;
    }
    if (core.signal_fd != read_end) {
        if (!open_descriptors(core)) {
            return false;
        }
        if (const int error = core.descriptors.set(read_end, EpollSet::kReadable); error != 0) {
            return py::raise_os_error(error);
        }
        core.signal_fd = read_end;
    }
    core.saved_wakeup_fd = set_wakeup_fd(end);
    core.wakeup_fd_set = core.saved_wakeup_fd != -2;
    return core.wakeup_fd_set;
}

bool restore_wakeup_fd(LoopCore& core) noexcept {
    if (!core.wakeup_fd_set) {
        return true;
    }
    core.wakeup_fd_set = false;
    if (claimed_by_handlers) {
        return true;
    }
    return set_wakeup_fd(core.saved_wakeup_fd == write_end ? -1 : core.saved_wakeup_fd) != -2;
}

bool deliver_signals() noexcept {
    char bytes[512];
    for (;;) {
        const ssize_t count = ::read(read_end, bytes, sizeof bytes);
        if (count <= 0) {
            return true;
        }
        PyObject* dispatcher = py::state().signal_dispatcher;
        if (dispatcher == nullptr) {
            continue;
        }
        py::Ref data = py::Ref::steal(PyBytes_FromStringAndSize(bytes, count));
        if (!data || !py::call(dispatcher, data.get())) {
            return false;
        }
    }
}

bool renew_signal_pair_after_fork() noexcept {
    main_thread_id = 0;
    claimed_by_handlers = false;
    if (write_end < 0) {
        return true;
    }
    const int old_write_end = write_end;
    if (in_main_thread()) {
        const int current = set_wakeup_fd(-1);
        if (current != old_write_end && current >= 0 && set_wakeup_fd(current) == -2) {
            return false;
        }
    }
    close_pair();
    return true;
}

} // namespace bucle::loop
