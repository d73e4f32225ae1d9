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
    const ContextScope scope(core.spare_context, pipe.context);
    char* const memory = scope ? scratch(core, pipe.max_size) : nullptr;
    if (memory == nullptr) {
        return false;
    }
    ssize_t size = 0;
    do {
        size = read(pipe.fd, memory, pipe.max_size);
    } while (size < 0 && errno == EINTR);
    if (size <= 0) {
        return size == 0                                 ? end_of_file(self, pipe)
               : errno == EAGAIN || errno == EWOULDBLOCK ? true
                                                         : fail(self, pipe, errno);
    }
    const py::Ref data = py::Ref::steal(PyBytes_FromStringAndSize(memory, size));
    const py::Ref protocol = pipe.protocol.clone();
    return data &&
           (!protocol || py::call_method(protocol.get(), py::names().data_received, data.get()));
}

bool start(PyObject* self, ReadPipe& pipe) noexcept {
    return !pipe.loop || !pipe.reading() ||
           watch_side(self, pipe, loop::Side::reader, read_ready, kReader);
}

PyObject* start_reading(PyObject* self, PyObject*) noexcept {
    return start(self, pipe_of(self)) ? py::new_ref(Py_None) : nullptr;
}

PyObject* pause_reading(py::Function&, PyObject* const* args) noexcept {
    ReadPipe& pipe = pipe_of(args[0]);
    if (!pipe.reading()) {
        Py_RETURN_NONE;
    }
    pipe.paused = true;
    unwatch_side(pipe, loop::Side::reader);
    return log_if_debug(args[0], pipe, kPipeLog, "debug", "%r pauses reading")
               ? py::new_ref(Py_None)
               : nullptr;
}

PyObject* resume_reading(py::Function&, PyObject* const* args) noexcept {
    ReadPipe& pipe = pipe_of(args[0]);
    if (pipe.closing || !pipe.paused) {
        Py_RETURN_NONE;
    }
    pipe.paused = false;
    return start(args[0], pipe) &&
                   log_if_debug(args[0], pipe, kPipeLog, "debug", "%r resumes reading")
               ? py::new_ref(Py_None)
               : nullptr;
}

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    ReadPipe& pipe = pipe_of(args[0]);
    return pipe.closing || close_with(args[0], pipe, nullptr) ? py::new_ref(Py_None) : nullptr;
}

PyObject* close_because(py::Function&, PyObject* const* args) noexcept {
    return close_with(args[0], pipe_of(args[0]), args[1]) ? py::new_ref(Py_None) : nullptr;
}

using Slots = EndpointSlots<ReadPipe>;

const py::FunctionRow kFunctions[] = {
    {"get_extra_info", Slots::get_extra_info},
    {"is_closing", Slots::is_closing},
    {"is_reading", Slots::is_reading},
    {"get_protocol", Slots::get_protocol},
    {"set_protocol", Slots::set_protocol},
    {"close", close},
    {"pause_reading", pause_reading},
    {"resume_reading", resume_reading},
    {"_close", close_because},
    {"_call_connection_lost", Slots::call_connection_lost},
    {nullptr, nullptr},
};

PyMethodDef kMethods[] = {
    {"_start_reading", start_reading, METH_NOARGS,
     "_start_reading($self, /)\n--\n\n"
     "Begin to read, after connection_made()."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"_loop", Slots::get_ref<&Endpoint::loop>, nullptr, nullptr, nullptr},
    {"_protocol", Slots::get_ref<&Endpoint::protocol>, Slots::set_ref<&Endpoint::protocol>, nullptr,
     nullptr},
    {"_extra", Slots::get_ref<&Endpoint::extra>, Slots::set_ref<&Endpoint::extra>, nullptr,
     nullptr},
    {"_pipe", Slots::get_ref<&Endpoint::file>, Slots::set_ref<&Endpoint::file>, nullptr, nullptr},
    {"_fileno", Slots::get_fd, nullptr, nullptr, nullptr},
    {"_closing", Slots::get_flag<&Endpoint::closing>, nullptr, nullptr, nullptr},
    {"_paused", Slots::get_flag<&Endpoint::paused>, nullptr, nullptr, nullptr},
    {"max_size", Slots::get_max_size, Slots::set_max_size, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// loop._make_read_pipe_transport(pipe, protocol, waiter=None, extra=None)
PyObject* make(py::Function&, PyObject* const* args) noexcept {
    py::Ref self = make_endpoint<ReadPipe>(py::state().read_pipe_type);
    if (!self) {
        return nullptr;
    }
    ReadPipe& pipe = pipe_of(self.get());
    if (!set_up(pipe, args[0], args[2], args[4]) ||
        PyObject_SetItem(pipe.extra.get(), py::names().pipe, args[1]) < 0 ||
        !open_pipe(pipe, args[1], "Pipe transport is for pipes/sockets only.", nullptr)) {
        return nullptr;
    }
    pipe.file = py::Ref::borrow(args[1]); // from here on it is closed with the transport
    return announce(self.get(), pipe, true, args[3]) ? self.release() : nullptr;
}

const py::FunctionRow kLoopFunctions[] = {
    {"_make_read_pipe_transport", make},
    {nullptr, nullptr},
};

} // namespace

bool make_read_pipe_type(PyObject* module) noexcept {
    TransportRecipe recipe = {};
    recipe.name = "bucle.ReadPipeTransport";
    recipe.doc = "asyncio.ReadTransport of a pipe, native.";
    recipe.base = "ReadTransport";
    recipe.stock_module = "asyncio.unix_events";
    recipe.stock = "_UnixReadPipeTransport";
    recipe.functions = kFunctions;
    recipe.methods = kMethods;
    recipe.getset = kAttributes;
    py::state().read_pipe_type = make_transport_type<ReadPipe>(module, recipe);
    return py::state().read_pipe_type != nullptr &&
           add_loop_functions("asyncio.unix_events", "_UnixSelectorEventLoop", kLoopFunctions);
}

} // namespace bucle::net
