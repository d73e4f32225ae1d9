// ReadPipeTransport: what arrives at a pipe, through the loop's scratch buffer.
#include "net/context_scope.hpp"
#include "net/errors.hpp"
#include "net/pipe.hpp"
#include "net/transport_type.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <unistd.h>

#include <cerrno>

namespace bucle::net {
namespace {

constexpr const char* kReader = "ReadPipeTransport._read_ready";

ReadPipe& pipe_of(PyObject* self) noexcept {
    return endpoint_of<ReadPipe>(self);
}

bool close_with(PyObject* self, ReadPipe& pipe, PyObject* error) noexcept {
    pipe.closing = true;
    unwatch_side(pipe, loop::Side::reader);
    return schedule_loss(self, pipe, error);
}

bool fail(PyObject* self, ReadPipe& pipe, int error) noexcept {
    const py::Ref exception = os_error(error);
    return report_fatal_error(self, pipe.loop.get(), pipe.protocol.get(), exception.get(),
                              "Fatal read error on pipe transport", Expected::eio, kPipeLog) &&
           close_with(self, pipe, exception.get());
}

bool end_of_file(PyObject* self, ReadPipe& pipe) noexcept {
    if (!log_if_debug(self, pipe, kPipeLog, "info", "%r was closed by peer")) {
        return false;
    }
    pipe.closing = true;
    unwatch_side(pipe, loop::Side::reader);
    const py::Ref eof_received =
        py::get_attr(pipe.protocol ? pipe.protocol.get() : Py_None, py::names().eof_received);
    return eof_received && schedule(pipe, eof_received.get()) && schedule_loss(self, pipe);
}

bool read_ready(PyObject* self) noexcept {
    ReadPipe& pipe = pipe_of(self);
    if (!pipe.loop || pipe.closing) {
        return true;
    }
    loop::LoopCore& core = pipe.core();
    const ContextScope scope(core, pipe.context);
    char* const memory = scope ? scratch(core, pipe.max_size) : nullptr;
    if (memory == nullptr) {
        return false;
    }
    ssize_t size = 0;
    do {
        size = read(pipe.fd, memory, pipe.max_size);
    } while (size < 0 && errno == EINTR);
    if (size == 0) {
        return end_of_file(self, pipe);
    }
    if (size < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || fail(self, pipe, errno);
    }
    const py::Ref data = py::Ref::steal(PyBytes_FromStringAndSize(memory, size));
    const py::Ref protocol = pipe.protocol.clone();
    return data &&
           (!protocol || py::call_method(protocol.get(), py::names().data_received, data.get()));
}

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    ReadPipe& pipe = pipe_of(args[0]);
    return none_if(pipe.closing || close_with(args[0], pipe, nullptr));
}

PyObject* close_because(py::Function&, PyObject* const* args) noexcept {
    return none_if(close_with(args[0], pipe_of(args[0]), args[1]));
}

using Slots = EndpointSlots<ReadPipe>;

const py::FunctionRow kFunctions[] = {
    {"is_reading", Slots::is_reading},
    {"pause_reading", Slots::pause_reading},
    {"resume_reading", Slots::resume_reading},
    {"close", close},
    {"_close", close_because},
    {nullptr, nullptr},
};

PyGetSetDef kAttributes[] = {
    Slots::kLoop,
    Slots::kProtocol,
    Slots::kExtra,
    Slots::file_row("_pipe"),
    Slots::fd_row("_fileno"),
    Slots::kClosing,
    Slots::kPaused,
    Slots::kMaxSizeRow,
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* make(py::Function&, PyObject* const* args) noexcept {
    py::Ref self = make_endpoint<ReadPipe>(py::state().read_pipe_type);
    return self && open_pipe(self.get(), pipe_of(self.get()), args,
                             "Pipe transport is for pipes/sockets only.", true)
               ? self.release()
               : nullptr;
}

const py::FunctionRow kLoopFunctions[] = {
    {"_make_read_pipe_transport", make},
    {nullptr, nullptr},
};

} // namespace

bool ReadPipe::start_reading(PyObject* self) noexcept {
    ReadPipe& pipe = pipe_of(self);
    return !pipe.loop || !pipe.reading() ||
           watch_side(self, pipe, loop::Side::reader, read_ready, kReader);
}

bool make_read_pipe_type(PyObject* module) noexcept {
    TransportRecipe recipe = {};
    recipe.name = "bucle.ReadPipeTransport";
    recipe.doc = "asyncio.ReadTransport of a pipe, native.";
    recipe.base = "ReadTransport";
    recipe.stock_module = "asyncio.unix_events";
    recipe.stock = "_UnixReadPipeTransport";
    recipe.functions = kFunctions;
    recipe.methods = Slots::kMethods;
    recipe.getset = kAttributes;
    py::state().read_pipe_type = make_transport_type<ReadPipe>(module, recipe);
    return py::state().read_pipe_type != nullptr &&
           add_loop_functions("asyncio.unix_events", "_UnixSelectorEventLoop", kLoopFunctions);
}

} // namespace bucle::net
