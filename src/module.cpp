// The module bucle._core: makes the types in the order of their rooms and offers the cold
// functions. The only file that knows pybind11.
#include "combine/combine.hpp"
#include "core/coroutine.hpp"
#include "core/future.hpp"
#include "core/handle.hpp"
#include "core/handover.hpp"
#include "core/meta.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "loop/loop.hpp"
#include "loop/readiness.hpp"
#include "net/net.hpp"
#include "py/asyncio_abi.hpp"
#include "py/function.hpp"
#include "py/state.hpp"
#include "streams/streams.hpp"
#include "sync/sync.hpp"

#include <pybind11/pybind11.h>

#ifndef BUCLE_PROFILE_GUIDED // by the build
#define BUCLE_PROFILE_GUIDED false
#endif

namespace pybind = pybind11;
namespace py = bucle::py;

namespace {

void require(bool ok) {
    if (!ok) {
        throw pybind::error_already_set();
    }
}

pybind::object owned(py::Ref ref) {
    require(static_cast<bool>(ref));
    return pybind::reinterpret_steal<pybind::object>(ref.release());
}

void add_type(pybind::module_& module, const char* name, PyTypeObject* type) {
    if (type != nullptr) {
        module.add_object(
            name, pybind::reinterpret_borrow<pybind::object>(reinterpret_cast<PyObject*>(type)));
    }
}

void make_types(pybind::module_& module) {
    py::State* state = py::make_state();
    require(state != nullptr);
    require(py::abi::probe(*state));
    PyObject* m = module.ptr();
    require(bucle::core::make_meta_type(m));
    require(py::make_function_type(m));
    require(bucle::core::make_coroutine_type(m));
    require(bucle::core::make_observer_type(m));
    require(bucle::core::make_handover_type(m));
    require(bucle::core::make_handle_types(m));
    require(bucle::core::make_future_types(m));
    require(bucle::core::make_task_type(m));
    require(bucle::loop::make_readiness_type(m));
    require(bucle::loop::make_loop_type(m));
    require(bucle::net::make_datagram_type(m));
    require(bucle::net::make_pipe_types(m));
    require(bucle::sync::make_lock_type(m));
    require(bucle::sync::make_queue_types(m));
    require(bucle::sync::make_event_type(m));
    require(bucle::sync::make_condition_type(m));
    require(bucle::sync::make_semaphore_types(m));
    require(bucle::sync::make_barrier_type(m));
    require(bucle::combine::add_sleep(m));
    require(bucle::combine::make_timeout_type(m));
    require(bucle::combine::add_wait_for(m));
    require(bucle::combine::make_task_group_type(m));
    require(bucle::combine::add_ensure_future(m));
    require(bucle::combine::add_gather(m));
    require(bucle::combine::add_wait(m));
    require(bucle::combine::add_shield(m));
    require(bucle::combine::add_as_completed(m));
    require(bucle::combine::add_threads(m));
    require(bucle::net::find_python_sockets());
    require(bucle::net::make_socket_transport_type(m));
    require(bucle::net::make_listener_type(m));
    require(bucle::streams::make_reader_type(m));
    require(bucle::streams::make_writer_type(m));
    require(bucle::streams::make_protocol_type(m));
    require(bucle::net::add_sock_methods());
    require(bucle::net::add_getaddrinfo());
    add_type(module, "Future", state->future_type);
    add_type(module, "Task", state->task_type);
    add_type(module, "Handle", state->handle_type);
    add_type(module, "TimerHandle", state->timer_handle_type);
    add_type(module, "ThreadSafeHandle", state->threadsafe_handle_type);
    add_type(module, "Loop", state->loop_type);
}

int signal_wakeup_fd() {
    const int fd = bucle::loop::signal_write_end();
    require(fd >= 0);
    return fd;
}

void set_signal_dispatcher(const pybind::object& function) {
    py::state().signal_dispatcher = function.inc_ref().ptr();
}

void set_connection_socket(const pybind::object& kind) {
    py::state().connection_socket = kind.inc_ref().ptr();
}

} // namespace

PYBIND11_MODULE(_core, module, pybind::multiple_interpreters::per_interpreter_gil()) {
    make_types(module);
    module.attr("profile_guided") = BUCLE_PROFILE_GUIDED;
    module.def("libuv_version", &bucle::uv::Loop::version, "The version of the libuv in use.");
    module.def(
        "self_test", [] { return owned(py::abi::describe()); },
        "What the probes of the interpreter found at import.");
    module.def(
        "native_tasks", [] { return owned(bucle::core::list_native_tasks()); },
        "The live native tasks, up to 3.13; empty later, where asyncio's list has them.");
    module.def("signal_wakeup_fd", &signal_wakeup_fd,
               "The descriptor to give to signal.set_wakeup_fd(), made once a process.");
    module.def("set_signal_dispatcher", &set_signal_dispatcher, pybind::arg("dispatcher"),
               "Sets the function that gets the bytes which signals wrote.");
    module.def("set_connection_socket", &set_connection_socket, pybind::arg("kind"),
               "Sets the class of what get_extra_info('socket') gives for a connection.");
    module.def("claim_wakeup_fd", &bucle::loop::claim_wakeup_fd, pybind::arg("claimed"),
               "Whether the wake-up descriptor stays set when a run ends.");
    module.def("after_fork_child", &bucle::loop::after_fork_child,
               "To be called in the child of every fork.");
    module.def(
        "send_gathered", [] { require(bucle::loop::flush_running()); },
        "Send what this turn of the running loop wrote so far, before somebody could tell.");
}
