// WritePipeTransport: writes at once, then as the pipe takes it. The other end's closing is seen by
// watching the pipe for reading, as in asyncio: nothing is ever read from it.
#include "net/context_scope.hpp"
#include "net/errors.hpp"
#include "net/pipe.hpp"
#include "net/transport_type.hpp"
#include "py/buffer.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <unistd.h>

#include <cerrno>

namespace bucle::net {
namespace {

constexpr const char* kReader = "WritePipeTransport._read_ready";
constexpr const char* kWriter = "WritePipeTransport._write_ready";

WritePipe& pipe_of(PyObject* self) noexcept {
    return endpoint_of<WritePipe>(self);
}

// asyncio's _close(): at once, and what is buffered is lost.
bool close_with(PyObject* self, WritePipe& pipe, PyObject* error) noexcept {
    pipe.closing = true;
    pipe.buffer.clear();
    unwatch_side(pipe, loop::Side::writer);
    unwatch_side(pipe, loop::Side::reader);
    return schedule_loss(self, pipe, error);
}

// Takes the exception that is raised.
bool fail(PyObject* self, WritePipe& pipe) noexcept {
    if (py::exit_exception_raised()) {
        return false;
    }
    const py::Ref error = py::compat::take_exception();
    ++pipe.conn_lost;
    return report_fatal_error(self, pipe.loop.get(), pipe.protocol.get(), error.get(),
                              "Fatal write error on pipe transport", Expected::os_errors,
                              kPipeLog) &&
           close_with(self, pipe, error.get());
}

// The other end has gone.
bool read_ready(PyObject* self) noexcept {
    WritePipe& pipe = pipe_of(self);
    if (!pipe.loop) {
        return true;
    }
    loop::LoopCore& core = pipe.core();
    const ContextScope scope(core, pipe.context);
    if (!scope || !log_if_debug(self, pipe, kPipeLog, "info", "%r was closed by peer")) {
        return false;
    }
    const py::Ref error = pipe.buffer.empty() ? py::Ref() : py::call(PyExc_BrokenPipeError);
    return PyErr_Occurred() == nullptr && close_with(self, pipe, error.get());
}

bool write_ready(PyObject* self) noexcept {
    WritePipe& pipe = pipe_of(self);
    if (!pipe.loop || pipe.buffer.empty()) {
        return true;
    }
    loop::LoopCore& core = pipe.core();
    const ContextScope scope(core, pipe.context);
    if (!scope) {
        return false;
    }
    iovec parts[WriteBuffer::kAtOnce];
    const int count = pipe.buffer.describe(parts);
    ssize_t written = 0;
    do {
        written = writev(pipe.fd, parts, count);
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return true;
        }
        (void)py::raise_os_error(errno);
        return fail(self, pipe);
    }
    pipe.buffer.consume(static_cast<std::size_t>(written));
    if (!pipe.buffer.empty()) {
        return true;
    }
    unwatch_side(pipe, loop::Side::writer);
    if (!maybe_resume_writing(self, pipe.flow, 0, pipe.loop.get(), pipe.protocol.get())) {
        return false;
    }
    return !pipe.closing || pipe.loss_scheduled || !pipe.buffer.empty() ||
           lose_connection(self, pipe, Py_None);
}

// Writes what the pipe takes; returns how much, -1 with an error set.
Py_ssize_t write_now(const WritePipe& pipe, const void* data, Py_ssize_t size) noexcept {
    ssize_t written = 0;
    do {
        written = write(pipe.fd, data, static_cast<std::size_t>(size));
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return 0;
        }
        (void)py::raise_os_error(errno);
    }
    return written;
}

// Writes to an empty buffer's pipe; what is left goes into the buffer, bytes by reference.
bool write_or_keep(PyObject* self, WritePipe& pipe, PyObject* data) noexcept {
    if (PyBytes_CheckExact(data)) [[likely]] {
        const Py_ssize_t size = PyBytes_GET_SIZE(data);
        const Py_ssize_t written = write_now(pipe, PyBytes_AS_STRING(data), size);
        return written < 0 ? fail(self, pipe)
                           : written == size || pipe.buffer.push(py::Ref::borrow(data),
                                                                 static_cast<std::size_t>(written));
    }
    Py_ssize_t written = -1;
    bool all = false;
    py::Ref rest;
    if (const py::Buffer view(data, PyBUF_SIMPLE); view) {
        written = write_now(pipe, view.data(), view.size());
        all = written == view.size();
        if (written >= 0 && !all) {
            rest = py::Ref::steal(PyBytes_FromStringAndSize(
                static_cast<const char*>(view.data()) + written, view.size() - written));
        }
    }
    return written < 0 ? fail(self, pipe) : all || (rest && pipe.buffer.push(std::move(rest)));
}

PyObject* write_method(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    PyObject* const data = args[1];
    WritePipe& pipe = pipe_of(self);
    if (!is_bytes_like(data)) {
        const py::Ref text = py::Ref::steal(PyObject_Repr(data));
        if (text) {
            PyErr_SetObject(PyExc_AssertionError, text.get());
        }
        return nullptr;
    }
    const int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return none_if(some == 0);
    }
    if (pipe.conn_lost != 0 || pipe.closing || !pipe.loop) {
        return none_if(
            count_lost_write(pipe.conn_lost, kPipeLog,
                             "pipe closed by peer or os.write(pipe, data) raised exception."));
    }
    if (pipe.buffer.empty()) {
        if (!write_or_keep(self, pipe, data)) {
            return nullptr;
        }
        if (pipe.buffer.empty()) {
            Py_RETURN_NONE;
        }
        if (!watch_side(self, pipe, loop::Side::writer, write_ready, kWriter)) {
            return nullptr;
        }
    } else {
        py::Ref bytes = immutable(data);
        if (!bytes || !pipe.buffer.push(std::move(bytes))) {
            return nullptr;
        }
    }
    return none_if(maybe_pause_writing(self, pipe.flow, pipe.buffer.size(), pipe.loop.get(),
                                       pipe.protocol.get()));
}

bool end_writing(PyObject* self, WritePipe& pipe) noexcept {
    if (pipe.closing) {
        return true;
    }
    pipe.closing = true;
    if (!pipe.buffer.empty()) {
        return true;
    }
    unwatch_side(pipe, loop::Side::reader);
    return schedule_loss(self, pipe);
}

PyObject* write_eof(py::Function&, PyObject* const* args) noexcept {
    return none_if(end_writing(args[0], pipe_of(args[0])));
}

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    WritePipe& pipe = pipe_of(args[0]);
    return none_if(!pipe.file || end_writing(args[0], pipe));
}

PyObject* abort(py::Function&, PyObject* const* args) noexcept {
    return none_if(close_with(args[0], pipe_of(args[0]), nullptr));
}

PyObject* close_because(py::Function&, PyObject* const* args) noexcept {
    return none_if(close_with(args[0], pipe_of(args[0]), args[1]));
}

PyObject* can_write_eof(py::Function&, PyObject* const*) noexcept {
    Py_RETURN_TRUE;
}

PyObject* get_write_buffer_size(py::Function&, PyObject* const* args) noexcept {
    return PyLong_FromSize_t(pipe_of(args[0]).buffer.size());
}

using Slots = EndpointSlots<WritePipe>;
using Flow = FlowSlots<Slots::flow>;

const py::FunctionRow kFunctions[] = {
    {"write", write_method},
    {"write_eof", write_eof},
    {"can_write_eof", can_write_eof},
    {"get_write_buffer_size", get_write_buffer_size},
    {"close", close},
    {"abort", abort},
    {"_close", close_because},
    {nullptr, nullptr},
};

// What waits, as asyncio keeps it; a copy.
PyObject* get_buffer(PyObject* self, void*) noexcept {
    const py::Ref all = pipe_of(self).buffer.joined();
    return all ? PyByteArray_FromObject(all.get()) : nullptr;
}

PyGetSetDef kAttributes[] = {
    Flow::kHigh,
    Flow::kLow,
    Flow::kPaused,
    Slots::kLoop,
    Slots::kProtocol,
    Slots::kExtra,
    Slots::file_row("_pipe"),
    Slots::fd_row("_fileno"),
    Slots::kClosing,
    Slots::kConnLost,
    {"_buffer", get_buffer, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* make(py::Function&, PyObject* const* args) noexcept {
    py::Ref self = make_endpoint<WritePipe>(py::state().write_pipe_type);
    return self && open_pipe(self.get(), pipe_of(self.get()), args,
                             "Pipe transport is only for pipes, sockets and character devices",
                             false)
               ? self.release()
               : nullptr;
}

const py::FunctionRow kLoopFunctions[] = {
    {"_make_write_pipe_transport", make},
    {nullptr, nullptr},
};

} // namespace

bool WritePipe::start_reading(PyObject* self) noexcept {
    WritePipe& pipe = pipe_of(self);
    return !pipe.loop || pipe.loss_scheduled ||
           watch_side(self, pipe, loop::Side::reader, read_ready, kReader);
}

bool make_write_pipe_type(PyObject* module) noexcept {
    TransportRecipe recipe = {};
    recipe.name = "bucle.WritePipeTransport";
    recipe.doc = "asyncio.WriteTransport of a pipe, native.";
    recipe.base = "_FlowControlMixin";
    recipe.second_base = "WriteTransport";
    recipe.stock_module = "asyncio.unix_events";
    recipe.stock = "_UnixWritePipeTransport";
    recipe.functions = kFunctions;
    recipe.methods = Slots::kMethods;
    recipe.getset = kAttributes;
    py::state().write_pipe_type = make_transport_type<WritePipe>(module, recipe);
    return py::state().write_pipe_type != nullptr &&
           add_loop_functions("asyncio.unix_events", "_UnixSelectorEventLoop", kLoopFunctions);
}

} // namespace bucle::net
