// Coroutine: a coroutine object whose body is C++, what `lock.acquire()` or `sleep(1)` returns. For
// programs it is a coroutine: it has send, throw and close, warns when it was never awaited, can be
// handed to create_task() and driven by any task, and passes for types.CoroutineType.
//
// A body is a function that is called at the start and whenever what it awaited has an outcome; it
// is a switch over `stage`. Nothing is made that the body does not ask for: one that can finish at
// once costs one object from a pool, no frame, no Future.
#pragma once

#include "core/future.hpp"
#include "py/function.hpp"

namespace bucle::core {

enum class Step {
    wait,   // for `waiting`, which the body has just set (see Coroutine::wait)
    yield,  // to the loop, for one turn
    finish, // with `result`
    fail,   // an error is set
};

struct Coroutine;

// Exactly one of `value` and `error` is set: None at the start, the outcome of what was awaited
// afterwards; an error also when one was thrown in. No error is set in the interpreter.
using Body = Step (*)(Coroutine& self, py::Ref value, py::Ref error, py::Ref& result) noexcept;

struct Coroutine {
    enum class State : std::uint8_t { created, suspended, running, closed };
    static constexpr int kArguments = 3;

    PyObject_HEAD Body body;
    py::Ref function;              // the py::Function that made it: its names, its code
    py::Ref arguments[kArguments]; // of the call, defaults filled in; [0] is self in a method
    py::Ref waiting;               // what is awaited now
    py::Ref kept;                  // for the body: what it needs again in a later stage
    py::Ref origin;                // where it was made, while the interpreter tracks that
    PyObject* weakrefs;
    State state;
    std::uint8_t stage;
    bool tracked; // by the cyclic garbage collector
    int number;   // for the body, as `kept`

    // To be returned by a body: goes on at `next` when `awaitable` (see awaitable_of; null: an
    // error is set) has an outcome.
    Step wait(py::Ref awaitable, std::uint8_t next) noexcept {
        if (!awaitable) {
            return Step::fail;
        }
        waiting = std::move(awaitable);
        stage = next;
        return Step::wait;
    }
    Step yield(std::uint8_t next) noexcept {
        stage = next;
        return Step::yield;
    }
};

inline Step finish_with(py::Ref& result, py::Ref value) noexcept {
    result = std::move(value);
    return result ? Step::finish : Step::fail;
}
inline Step finish_with_none(py::Ref& result) noexcept {
    return finish_with(result, py::none());
}
// For what failed while `error`, if any, was being handled: the error set gets it as its context.
Step fail_after(py::Ref error) noexcept;
inline Step fail_with(py::Ref error) noexcept {
    py::compat::put_exception(std::move(error));
    return Step::fail;
}

inline bool is_native_coroutine(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().coroutine_type;
}

// asyncio.iscoroutine(object); -1 with an error set.
[[nodiscard]] int is_coroutine(PyObject* object) noexcept;

// The body of a py::Function whose `extra` is a Body: makes the coroutine.
PyObject* make_coroutine(py::Function& function, PyObject* const* args) noexcept;

// A row for py::add_functions: `async def name`.
inline py::FunctionRow async_row(const char* name, Body body) noexcept {
    return {name, make_coroutine, reinterpret_cast<void*>(body)};
}

PySendResult coroutine_send(PyObject* self, PyObject* value, PyObject** out) noexcept;
PySendResult coroutine_throw(PyObject* self, py::Ref error, PyObject** out) noexcept;
[[nodiscard]] bool coroutine_close(PyObject* self) noexcept;
// coroutine.throw(*args)
PyObject* coroutine_throw_method(PyObject* coroutine, PyObject* const* args,
                                 Py_ssize_t nargs) noexcept;

[[nodiscard]] bool make_coroutine_type(PyObject* module) noexcept;

// coroutine_wrapper.cpp
PyObject* make_coroutine_wrapper(PyObject* coroutine) noexcept;
[[nodiscard]] bool make_coroutine_wrapper_type(PyObject* module) noexcept;

// The Python side of the type (coroutine_methods.cpp).
extern PyMethodDef coroutine_methods[];
extern PyMethodDef coroutine_await[]; // put in the place of what am_await made
extern PyGetSetDef coroutine_getset[];
PyObject* coroutine_repr(PyObject* self) noexcept;
// Says that it was never awaited.
void warn_never_awaited(PyObject* self) noexcept;

} // namespace bucle::core
