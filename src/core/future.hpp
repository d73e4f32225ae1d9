// Future: the fields that a native Future and a native Task share, and what the rest of core does
// with them. A Future stands behind _asyncio.Future's fields, a Task behind _asyncio.Task's; both
// keep a FutureCore at their own offset, so that one set of functions serves both.
//
// Invariant: callbacks exist only while pending. Completion moves them out before anything runs,
// and nothing is ever called synchronously by it: callbacks and waiters are queued on the loop. The
// one exception are observers, which stay until the loop has run their entries.
#pragma once

#include "base/growable.hpp"
#include "core/scheduler.hpp"

namespace bucle::core {

enum class FutureState : std::uint8_t { pending = 0, cancelled = 1, finished = 2 };

enum class CallbackKind : std::uint8_t {
    function, // with its context; null: an empty one
    waiter,   // a native task that waits
    observer, // see observer.hpp
};

// One done callback.
struct Callback {
    py::Ref target;
    py::Ref context;
    CallbackKind kind = CallbackKind::function;
};

// What most futures never need.
struct FutureExtras {
    base::Growable<Callback> more_callbacks;
    std::size_t heard = 0; // how many of them, observers all, were told already (observer.cpp)
    py::Ref cancel_message;
    py::Ref thrown_message;  // of a CancelledError that ended a task
    py::Ref cancelled_error; // the CancelledError to raise once
    py::Ref exception_traceback;
    py::Ref source_traceback;
};

struct FutureCore {
    py::Ref loop; // null: not initialized
    py::Ref result;
    py::Ref exception;
    py::Ref callback; // the first one; more are in extras
    py::Ref callback_context;
    FutureExtras* extras = nullptr;
    FutureState state = FutureState::pending;
    CallbackKind callback_kind = CallbackKind::function;
    bool blocking = false;
    bool log_traceback = false;

    bool pending() const noexcept { return state == FutureState::pending; }
    bool initialized() const noexcept { return static_cast<bool>(loop); }
    FutureExtras* need_extras() noexcept; // null with MemoryError set
    PyObject* source_traceback() const noexcept {
        return extras == nullptr ? nullptr : extras->source_traceback.get();
    }
};

extern std::size_t future_offset;
extern std::size_t task_offset;

inline bool is_native_task(PyObject* object) noexcept {
    PyTypeObject* type = py::state().task_type;
    return Py_TYPE(object) == type || PyType_IsSubtype(Py_TYPE(object), type);
}

// The fields of a native Future or Task, or null for any other object.
inline FutureCore* future_core(PyObject* object) noexcept {
    const py::State& state = py::state();
    PyTypeObject* type = Py_TYPE(object);
    if (type == state.future_type) {
        return py::own_fields<FutureCore>(object, future_offset);
    }
    if (type == state.task_type || PyType_IsSubtype(type, state.task_type)) {
        return py::own_fields<FutureCore>(object, task_offset);
    }
    if (PyType_IsSubtype(type, state.future_type)) {
        return py::own_fields<FutureCore>(object, future_offset);
    }
    return nullptr;
}

// Exactly bucle.Future or bucle.Task: no method can be overridden, the fast paths are allowed.
inline bool is_exact_native(PyObject* object) noexcept {
    const py::State& state = py::state();
    return Py_TYPE(object) == state.future_type || Py_TYPE(object) == state.task_type;
}

// These and gather()'s future: of the methods that awaiting needs none is anybody else's.
inline bool waits_natively(PyObject* object) noexcept {
    return is_exact_native(object) || Py_TYPE(object) == py::state().gathering_future_type;
}

// The loop of any future, by get_loop() or, where it has none, by its attribute.
py::Ref loop_of(PyObject* future) noexcept;

// Exactly bucle.Future: set_result() is for these alone, a Task has none.
inline bool is_exact_future(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().future_type;
}

py::Ref make_future(PyObject* loop) noexcept;
// `loop` null or None: the current one.
[[nodiscard]] bool init_future(PyObject* self, FutureCore& core, PyObject* loop) noexcept;

[[nodiscard]] bool future_set_result(PyObject* self, FutureCore& core, PyObject* result) noexcept;
// `exception`: an instance or a class; asyncio's rules for what is refused.
[[nodiscard]] bool future_set_exception(PyObject* self, FutureCore& core,
                                        PyObject* exception) noexcept;
// 1 cancelled, 0 done already, -1 error.
[[nodiscard]] int future_cancel(PyObject* self, FutureCore& core, PyObject* message) noexcept;
// The result (new reference), or null with the exception raised.
py::Ref future_result(PyObject* self, FutureCore& core) noexcept;
py::Ref make_cancelled_error(FutureCore& core) noexcept;

[[nodiscard]] bool add_done_callback(PyObject* self, FutureCore& core, PyObject* function,
                                     PyObject* context) noexcept;
// `task` becomes an entry of the callbacks; nothing but a pointer is stored.
[[nodiscard]] bool add_waiter(FutureCore& core, PyObject* task) noexcept;
[[nodiscard]] bool add_observer(FutureCore& core, PyObject* observer) noexcept;
Py_ssize_t remove_done_callback(FutureCore& core, PyObject* function) noexcept; // -1: error
py::Ref callbacks_list(FutureCore& core) noexcept;
// Queues what waits for `self`, which is done now.
[[nodiscard]] bool schedule_callbacks(PyObject* self, FutureCore& core) noexcept;

int visit_future(const FutureCore& core, visitproc visit, void* arg) noexcept;
void clear_future(FutureCore& core) noexcept;

// What the finalizer says of an exception that nobody looked at.
void report_unretrieved(PyObject* self, FutureCore& core) noexcept;

py::Ref make_future_iterator(PyObject* future) noexcept;

[[nodiscard]] bool make_future_types(PyObject* module) noexcept;
[[nodiscard]] bool make_future_iterator_type(PyObject* module) noexcept;

// Slots and tables that Task uses as well (future_methods.cpp).
extern PyMethodDef future_methods[];
extern PyGetSetDef future_getset[];
PyObject* future_await(PyObject* self) noexcept;

// `await future` in a coroutine needs no iterator object: the future is its own (future_iter.cpp).
PyObject* future_await_itself(PyObject* self) noexcept;
PyObject* future_next(PyObject* self) noexcept;
PySendResult future_send(PyObject* self, PyObject* value, PyObject** out) noexcept;
// Takes __next__ out of the type's dict, where making the type put it: a Future is no Iterator.
[[nodiscard]] bool hide_next(PyTypeObject* type) noexcept;
PyObject* not_initialized() noexcept;

} // namespace bucle::core
