// See endpoint.hpp.
#include "net/endpoint.hpp"

#include "net/context_scope.hpp"
#include "net/errors.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::net {
namespace {

py::Ref& slot_of(Endpoint& endpoint, loop::Side side) noexcept {
    return side == loop::Side::reader ? endpoint.reader : endpoint.writer;
}

} // namespace

int Endpoint::visit(visitproc visitor, void* arg) const noexcept {
    for (const py::Ref* ref : {&loop, &protocol, &extra, &context, &file, &reader, &writer}) {
        if (const int stop = ref->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void Endpoint::clear() noexcept {
    for (py::Ref* ref : {&loop, &protocol, &extra, &context, &file, &reader, &writer}) {
        ref->reset();
    }
}

void Endpoint::stop_reading() noexcept {
    unwatch_side(*this, loop::Side::reader);
}

bool set_up(Endpoint& endpoint, PyObject* loop, PyObject* protocol, PyObject* extra) noexcept {
    bool failed = false;
    endpoint.context = core::copy_current_context(failed);
    endpoint.extra = extra == Py_None ? py::Ref::steal(PyDict_New()) : py::Ref::borrow(extra);
    endpoint.scheduler = loop::loop_core(loop);
    endpoint.loop = py::Ref::borrow(loop);
    endpoint.protocol = protocol == Py_None ? py::Ref() : py::Ref::borrow(protocol);
    return !failed && endpoint.extra;
}

bool watch_side(PyObject* self, Endpoint& endpoint, loop::Side side, loop::OnReady notify,
                const char* name) noexcept {
    py::Ref& readiness = slot_of(endpoint, side);
    if (!readiness) {
        readiness = loop::make_readiness(self, notify, name);
    }
    if (readiness && loop::watch(endpoint.core(), endpoint.fd, side, readiness.get())) {
        return true;
    }
    readiness.reset();
    return false;
}

void unwatch_side(Endpoint& endpoint, loop::Side side) noexcept {
    const py::Ref readiness = std::move(slot_of(endpoint, side));
    if (!readiness) {
        return;
    }
    if (endpoint.loop) {
        loop::unwatch(endpoint.core(), endpoint.fd, side, readiness.get());
    }
    loop::disown(readiness.get());
}

void give_up_fd(PyObject* self, Endpoint& endpoint) noexcept {
    if (endpoint.loop) {
        loop::release_fd(endpoint.core(), endpoint.fd, self);
    }
}

void leave_fd(PyObject* self, Endpoint& endpoint) noexcept {
    unwatch_side(endpoint, loop::Side::reader);
    unwatch_side(endpoint, loop::Side::writer);
    give_up_fd(self, endpoint);
}

bool schedule(Endpoint& endpoint, PyObject* callback, PyObject* first, PyObject* second) noexcept {
    const py::Ref loop = endpoint.loop.clone();
    PyObject* const context = need_context(endpoint.core().spare_context, endpoint.context);
    const py::Names& names = py::names();
    if (context == nullptr) {
        return false;
    }
    PyObject* stack[] = {loop.get(), callback, first, second, nullptr};
    const std::size_t positional = first == nullptr ? 2 : second == nullptr ? 3 : 4;
    stack[positional] = context;
    return static_cast<bool>(py::Ref::steal(
        PyObject_VectorcallMethod(names.call_soon, stack, positional, names.kw_context)));
}

bool announce(PyObject* self, Endpoint& endpoint, bool reads, PyObject* waiter) noexcept {
    const py::Names& names = py::names();
    const py::Ref made =
        py::get_attr(endpoint.protocol ? endpoint.protocol.get() : Py_None, names.connection_made);
    if (!made || !schedule(endpoint, made.get(), self)) {
        return false;
    }
    if (reads) {
        const py::Ref start = py::get_attr(self, names._start_reading);
        if (!start || !schedule(endpoint, start.get())) {
            return false;
        }
    }
    return waiter == Py_None ||
           schedule(endpoint, py::state().set_unless_cancelled, waiter, Py_None);
}

bool schedule_loss(PyObject* self, Endpoint& endpoint, PyObject* error) noexcept {
    if (endpoint.loss_scheduled || !endpoint.loop) {
        return true;
    }
    endpoint.loss_scheduled = true;
    const py::Ref callback = py::get_attr(self, py::names()._call_connection_lost);
    return callback && schedule(endpoint, callback.get(), error == nullptr ? Py_None : error);
}

bool lose_connection(PyObject* self, Endpoint& endpoint, PyObject* error) noexcept {
    const py::Ref held = py::Ref::borrow(self);
    endpoint.loss_scheduled = true;
    const py::Names& names = py::names();
    const py::Ref protocol = endpoint.protocol.clone();
    const loop::ProtocolCall call(endpoint.core());
    const bool told = !protocol || py::call_method(protocol.get(), names.connection_lost, error);
    bool closed = true;
    {
        const py::Finally scope;
        leave_fd(self, endpoint);
        const py::Ref file = std::move(endpoint.file);
        closed = !file || py::call_method(file.get(), names.close);
    }
    endpoint.protocol.reset();
    endpoint.loop.reset();
    return told && closed;
}

bool log_if_debug(PyObject* self, const Endpoint& endpoint, const char* module, const char* level,
                  const char* format) noexcept {
    return !endpoint.loop || !endpoint.core().debug() || log(module, level, format, self);
}

void finalize_endpoint(PyObject* self, Endpoint& endpoint) noexcept {
    if (!endpoint.file) {
        return;
    }
    const py::ErrorScope keep;
    py::warn_unclosed(self, "transport");
    leave_fd(self, endpoint);
    const py::Ref file = std::move(endpoint.file);
    if (!py::call_method(file.get(), py::names().close)) {
        PyErr_WriteUnraisable(self);
    }
}

PyObject* extra_info(const Endpoint& endpoint, PyObject* name, PyObject* fallback) noexcept {
    PyObject* const extra = endpoint.extra.get();
    if (extra != nullptr && PyDict_CheckExact(extra)) [[likely]] {
        PyObject* const found = PyDict_GetItemWithError(extra, name);
        return found != nullptr || PyErr_Occurred() == nullptr
                   ? py::new_ref(found != nullptr ? found : fallback)
                   : nullptr;
    }
    const py::Ref held = py::Ref::borrow(extra == nullptr ? Py_None : extra);
    return PyObject_CallMethod(held.get(), "get", "OO", name, fallback);
}

int set_size(std::size_t& size, PyObject* value) noexcept {
    const Py_ssize_t given = value == nullptr ? -1 : PyLong_AsSsize_t(value);
    if (given <= 0) {
        if (PyErr_Occurred() == nullptr) {
            (void)py::raise_value_error("max_size must be positive");
        }
        return -1;
    }
    size = static_cast<std::size_t>(given);
    return 0;
}

} // namespace bucle::net
