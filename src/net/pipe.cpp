// See pipe.hpp.
#include "net/pipe.hpp"

#include "net/net.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace bucle::net {

bool open_pipe(Endpoint& endpoint, PyObject* pipe, const char* refusal, bool* watched) noexcept {
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
    if (watched != nullptr) {
        *watched = fifo_or_socket;
    }
    const int flags = fcntl(endpoint.fd, F_GETFL);
    if (flags < 0 || fcntl(endpoint.fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return py::raise_os_error(errno);
    }
    return true;
}

bool make_pipe_types(PyObject* module) noexcept {
    return make_read_pipe_type(module) && make_write_pipe_type(module);
}

} // namespace bucle::net
