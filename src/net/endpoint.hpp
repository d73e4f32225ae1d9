// Endpoint: what the transports share: fields, watching, methods; and how connection_made() and
// connection_lost() are called by datagram and pipe transports. What the socket transport does in
// its own way are overloads of the same names, for its fields.
//
// Invariants: `file`, the Python socket or pipe, is the descriptor's only owner; it is taken out
// before it is closed, so that it is closed once. (socket_transport.hpp says how a connection's is
// owned.) connection_lost() is scheduled once. After it the loop, the protocol and the file are
// null, and every method does nothing.
#pragma once

#include "loop/loop.hpp"
#include "loop/readiness.hpp"
#include "net/flow_control.hpp"
#include "net/scratch.hpp"
#include "py/function.hpp"

namespace bucle::net {

inline constexpr std::size_t kMaxSize = std::size_t{256} * 1024; // asyncio's max_size

struct Endpoint {
    loop::LoopCore* scheduler = nullptr; // of `loop`
    py::Ref loop;                        // null: connection_lost() was called
    py::Ref protocol;
    py::Ref extra;
    py::Ref context; // null: an empty one
    py::Ref file;
    py::Ref reader;            // Readiness
    py::Ref writer;            // made when something had to wait
    std::size_t conn_lost = 0; // asyncio's: writes after the loss are counted here, too
    int fd = -1;
    bool closing = false;
    bool paused = false;
    bool loss_scheduled = false;

    loop::LoopCore& core() const noexcept { return *scheduler; }
    bool reading() const noexcept { return !closing && !paused; }
    void stop_reading() noexcept;

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;
};

template <class T>
inline std::size_t endpoint_offset = 0;

template <class T>
T& endpoint_of(PyObject* self) noexcept {
    return *py::own_fields<T>(self, endpoint_offset<T>);
}

// Fields that every transport has. `extra` is a dict, which is kept, or None.
[[nodiscard]] bool set_up(Endpoint& endpoint, PyObject* loop, PyObject* protocol,
                          PyObject* extra) noexcept;

// Ends loop::claim_fd(), of which the loop keeps no more than the address of the transport.
void give_up_fd(PyObject* self, Endpoint& endpoint) noexcept;
void leave_fd(PyObject* self, Endpoint& endpoint) noexcept; // neither claimed nor watched any more

// Watches the reading or the writing side. Only meanwhile is there a Readiness, which holds the
// transport: one that is not watched and that nobody else holds ends at once, as in asyncio. False
// with an error set.
[[nodiscard]] bool watch_side(PyObject* self, Endpoint& endpoint, loop::Side side,
                              loop::OnReady notify, const char* name) noexcept;
void unwatch_side(Endpoint& endpoint, loop::Side side) noexcept;

// loop.call_soon(callback, first, second) in the transport's context; null arguments are none.
[[nodiscard]] bool schedule(Endpoint& endpoint, PyObject* callback, PyObject* first = nullptr,
                            PyObject* second = nullptr) noexcept;
// Schedules connection_made(), self._start_reading() (unless nothing is read), then the waiter.
[[nodiscard]] bool announce(PyObject* self, Endpoint& endpoint, bool reads,
                            PyObject* waiter) noexcept;
// Schedules self._call_connection_lost(error), unless it was; a null error is None.
[[nodiscard]] bool schedule_loss(PyObject* self, Endpoint& endpoint,
                                 PyObject* error = nullptr) noexcept;
// Tells the protocol, closes the file, drops the loop. False with an error set.
[[nodiscard]] bool lose_connection(PyObject* self, Endpoint& endpoint, PyObject* error) noexcept;

// A line of the log if the loop is in debug mode.
[[nodiscard]] bool log_if_debug(PyObject* self, const Endpoint& endpoint, const char* module,
                                const char* level, const char* format) noexcept;

// The ResourceWarning of one that was left open, and its end.
void finalize_endpoint(PyObject* self, Endpoint& endpoint) noexcept;

// endpoint.extra.get(name, default)
PyObject* extra_info(const Endpoint& endpoint, PyObject* name, PyObject* fallback) noexcept;

[[nodiscard]] inline bool change_protocol(Endpoint& endpoint, PyObject* protocol) noexcept {
    endpoint.protocol = py::Ref::borrow(protocol);
    return true;
}

int set_size(std::size_t& size, PyObject* value) noexcept; // as a property's setter

using py::none_if;

constexpr PyGetSetDef attribute(const char* name, getter get, setter set = nullptr) noexcept {
    return {name, get, set, nullptr, nullptr};
}

// Methods and properties of a transport with fields T. T::start_reading(self) watches the reading
// side if it may be watched now; T::kLog is the module whose logger is told.
template <class T>
struct EndpointSlots {
    static PyObject* get_extra_info(py::Function&, PyObject* const* args) noexcept {
        return extra_info(endpoint_of<T>(args[0]), args[1], args[2]);
    }
    static PyObject* is_closing(py::Function&, PyObject* const* args) noexcept {
        return PyBool_FromLong(endpoint_of<T>(args[0]).closing);
    }
    static PyObject* is_reading(py::Function&, PyObject* const* args) noexcept {
        return PyBool_FromLong(endpoint_of<T>(args[0]).reading());
    }
    static PyObject* get_protocol(py::Function&, PyObject* const* args) noexcept {
        return py::value_or_none(endpoint_of<T>(args[0]).protocol.get());
    }
    static PyObject* set_protocol(py::Function&, PyObject* const* args) noexcept {
        return none_if(change_protocol(endpoint_of<T>(args[0]), args[1]));
    }
    static PyObject* call_connection_lost(py::Function&, PyObject* const* args) noexcept {
        return none_if(lose_connection(args[0], endpoint_of<T>(args[0]), args[1]));
    }
    static PyObject* pause_reading(py::Function&, PyObject* const* args) noexcept {
        T& endpoint = endpoint_of<T>(args[0]);
        if (!endpoint.reading()) {
            Py_RETURN_NONE;
        }
        endpoint.paused = true;
        endpoint.stop_reading();
        return none_if(log_if_debug(args[0], endpoint, T::kLog, "debug", "%r pauses reading"));
    }
    static PyObject* resume_reading(py::Function&, PyObject* const* args) noexcept {
        T& endpoint = endpoint_of<T>(args[0]);
        if (endpoint.closing || !endpoint.paused) {
            Py_RETURN_NONE;
        }
        endpoint.paused = false;
        return none_if(T::start_reading(args[0]) &&
                       log_if_debug(args[0], endpoint, T::kLog, "debug", "%r resumes reading"));
    }
    static PyObject* start_reading(PyObject* self, PyObject*) noexcept {
        return none_if(T::start_reading(self));
    }
    // Of every transport; those that read have more.
    static constexpr py::FunctionRow kFunctions[] = {
        {"get_extra_info", get_extra_info},
        {"is_closing", is_closing},
        {"get_protocol", get_protocol},
        {"set_protocol", set_protocol},
        {"_call_connection_lost", call_connection_lost},
        {nullptr, nullptr},
    };
    static inline PyMethodDef kMethods[] = {
        {"_start_reading", start_reading, METH_NOARGS,
         "_start_reading($self, /)\n--\n\n"
         "Begin to watch for what can be read, after connection_made()."},
        {nullptr, nullptr, 0, nullptr},
    };

    template <py::Ref Endpoint::* Field>
    static PyObject* get_ref(PyObject* self, void*) noexcept {
        return py::value_or_none((endpoint_of<T>(self).*Field).get());
    }
    template <py::Ref Endpoint::* Field>
    static int set_ref(PyObject* self, PyObject* value, void*) noexcept {
        endpoint_of<T>(self).*Field = value == Py_None ? py::Ref() : py::Ref::borrow(value);
        return 0;
    }
    template <bool Endpoint::* Field>
    static PyObject* get_flag(PyObject* self, void*) noexcept {
        return PyBool_FromLong(endpoint_of<T>(self).*Field);
    }
    static PyObject* get_fd(PyObject* self, void*) noexcept {
        const int fd = endpoint_of<T>(self).fd;
        return fd < 0 ? py::new_ref(Py_None) : PyLong_FromLong(fd);
    }
    static PyObject* get_conn_lost(PyObject* self, void*) noexcept {
        return PyLong_FromSize_t(endpoint_of<T>(self).conn_lost);
    }
    static PyObject* get_max_size(PyObject* self, void*) noexcept {
        return PyLong_FromSize_t(endpoint_of<T>(self).max_size);
    }
    static int set_max_size(PyObject* self, PyObject* value, void*) noexcept {
        return set_size(endpoint_of<T>(self).max_size, value);
    }
    static FlowControl& flow(PyObject* self) noexcept { return endpoint_of<T>(self).flow; }

    static constexpr PyGetSetDef kLoop = attribute("_loop", get_ref<&Endpoint::loop>);
    static constexpr PyGetSetDef kProtocol =
        attribute("_protocol", get_ref<&Endpoint::protocol>, set_ref<&Endpoint::protocol>);
    static constexpr PyGetSetDef kExtra =
        attribute("_extra", get_ref<&Endpoint::extra>, set_ref<&Endpoint::extra>);
    static constexpr PyGetSetDef kClosing = attribute("_closing", get_flag<&Endpoint::closing>);
    static constexpr PyGetSetDef kPaused = attribute("_paused", get_flag<&Endpoint::paused>);
    static constexpr PyGetSetDef kConnLost = attribute("_conn_lost", get_conn_lost);
    static constexpr PyGetSetDef kMaxSizeRow = attribute("max_size", get_max_size, set_max_size);
    static constexpr PyGetSetDef file_row(const char* name) noexcept {
        return attribute(name, get_ref<&Endpoint::file>, set_ref<&Endpoint::file>);
    }
    static constexpr PyGetSetDef fd_row(const char* name) noexcept {
        return attribute(name, get_fd);
    }
};

} // namespace bucle::net
