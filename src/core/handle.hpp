// Handle, TimerHandle and ThreadSafeHandle: subclasses of asyncio's own; repr and comparisons are
// inherited and see our fields through properties. Up to three arguments stand in the object itself
// and are passed by vectorcall; more are kept as a tuple.
//
// Our fields stand in the very slots of asyncio's classes, and arguments in those whose values we
// keep elsewhere: a handle has 128 bytes instead of 192 (a ThreadSafeHandle had 224), and in a
// large batch most of the time went into the page faults for that. Each such slot holds a reference
// or null, so asyncio's own descriptors of the slots stay safe. Where the installed asyncio lays
// its slots out otherwise, the same fields stand behind them (handle_layout.cpp).
#pragma once

#include "core/scheduler.hpp"

namespace bucle::core {

struct RunningCallback;

struct HandleCore {
    static constexpr int kInline = 3;
    static constexpr int kTuple = -1; // nargs when the first argument is a tuple of them all

    py::Ref first_arg; // in _args
    py::Ref callback;
    py::Ref second_arg; // in _cancelled
    py::Ref context;    // null: an empty one
    py::Ref loop;
    py::Ref repr;
    py::Ref source_traceback;
    [[no_unique_address]] py::compat::WeakrefsInSlots weakrefs;
    py::Ref third_arg;                  // in TimerHandle's _scheduled, ThreadSafeHandle's _lock
    RunningCallback* running = nullptr; // of a ThreadSafeHandle; TimerHandle's _when, unused
    std::int8_t nargs = 0;
    bool cancelled = false;

    // Null only if somebody deleted it by asyncio's own descriptor of the slot.
    py::Ref& arg(Py_ssize_t i) noexcept {
        return i == 0 ? first_arg : i == 1 ? second_arg : third_arg;
    }
    const py::Ref& arg(Py_ssize_t i) const noexcept {
        return const_cast<HandleCore*>(this)->arg(i);
    }
};

struct TimerCore : HandleCore {
    bool scheduled = false; // first: fits behind the base's last field
    double when = 0;
    py::Ref given_when; // the number as it was given; null: the float of `when`
};

extern std::size_t handle_offset; // of the fields of all three types
// Finds it out.
[[nodiscard]] std::size_t find_handle_offset() noexcept;

// The fields of one of our handles (exact types and subclasses); null for anything else.
HandleCore* handle_core(PyObject* handle) noexcept;
TimerCore* timer_core(PyObject* handle) noexcept; // of a TimerHandle, unchecked

// New handles for our own loop. `context` null: an empty one.
py::Ref make_handle(Scheduler& scheduler, PyObject* callback, PyObject* const* args,
                    Py_ssize_t nargs, PyObject* context, bool tracked = true) noexcept;
py::Ref make_timer_handle(Scheduler& scheduler, double when, PyObject* callback,
                          PyObject* const* args, Py_ssize_t nargs, PyObject* context) noexcept;
py::Ref make_threadsafe_handle(Scheduler& scheduler, PyObject* callback, PyObject* const* args,
                               Py_ssize_t nargs, PyObject* context, bool tracked = true) noexcept;

// Runs the callback in its context, using `spare` (an empty context, or null) where none was
// recorded. An error goes to the loop's exception handler; false, with an error set, only for
// KeyboardInterrupt and SystemExit, and for what the handler itself raises.
[[nodiscard]] bool run_handle(PyObject* handle, HandleCore& core, py::Ref& spare) noexcept;

// Tells the loop's exception handler of the error set, as if a handle had called
// callback(argument); a null argument is none. False, with an error set, as run_handle().
[[nodiscard]] bool report_failed_callback(Scheduler& scheduler, PyObject* callback,
                                          PyObject* argument) noexcept;

// run_handle() for a ThreadSafeHandle: meanwhile cancel() from another thread waits.
[[nodiscard]] bool run_threadsafe_handle(PyObject* handle, py::Ref& spare) noexcept;

// A handle that only the ready ring of a running loop owns is not tracked by the cyclic garbage
// collector, which would look at each of a large batch in vain: the loop is alive, and will run or
// drop it. Whoever else may own it from now on calls this.
inline void track_handle(PyObject* handle) noexcept {
    py::track(handle);
}

py::Ref handle_args_tuple(const HandleCore& core) noexcept;
// False with an error set by its repr, or by a stand-in loop's get_debug(): it is cancelled all the
// same, and keeps its callback.
[[nodiscard]] bool cancel_handle(PyObject* handle, HandleCore& core) noexcept;
// handle.cancel(), of any handle: the loop is told of a timer, a running callback waited for.
[[nodiscard]] bool cancel_any_handle(PyObject* handle) noexcept;

[[nodiscard]] bool make_handle_types(PyObject* module) noexcept;

// Slots that the three types share (handle_slots.cpp).
PyObject* handle_new(PyTypeObject* type, PyObject*, PyObject*) noexcept;
int handle_traverse(PyObject* self, visitproc visit, void* arg) noexcept;
int handle_clear(PyObject* self) noexcept;
void handle_dealloc(PyObject* self) noexcept;
[[nodiscard]] bool init_handle(PyObject* self, HandleCore& core, PyObject* callback, PyObject* args,
                               PyObject* loop, PyObject* context) noexcept;
extern PyMethodDef handle_methods[];
extern PyGetSetDef handle_getset[];

} // namespace bucle::core
