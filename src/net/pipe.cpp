// See pipe.hpp.
#include "net/pipe.hpp"

#include "net/net.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace bucle::net {

bool open_pipe(PyObject* self, Endpoint& endpoint, PyObject* const* args, const char* refusal,
               bool reads) noexcept {
    PyObject* const pipe = args[1];
    if (!set_up(endpoint, args[0], args[2], args[4]) ||
        PyObject_SetItem(endpoint.extra.get(), py::names().pipe, pipe) < 0) {
        return false;
    }
    const py::Ref number = py::call_method(pipe, py::names().fileno);
    const long fd = number ? PyLong_AsLong(number.get()) : -1;
    if (fd == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    struct stat about{};
    endpoint.fd = static_cast<int>(fd);
    if (fstat(endpoint.fd, &about) != 0) {
        return py::raise_os_error(errno);
    }
    const bool fifo_or_socket = S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode);
    if (!fifo_or_socket && !S_ISCHR(about.st_mode)) {
        (void)py::raise_value_error(refusal);
        return false;
    }
    const int flags = fcntl(endpoint.fd, F_GETFL);
    if (flags < 0 || fcntl(endpoint.fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return py::raise_os_error(errno);
    }
    endpoint.file = py::Ref::borrow(pipe); // from here on it is closed with the transport
    return announce(self, endpoint, reads || fifo_or_socket, args[3]);
}

bool make_pipe_types(PyObject* module) noexcept {
    return make_read_pipe_type(module) && make_write_pipe_type(module);
}

} // namespace bucle::net
