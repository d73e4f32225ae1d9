// Raising, saving and chaining exceptions. Functions named raise_* set the error indicator and
// return null, so that a slot can `return raise_...(...)`.
#pragma once

#include "py/compat.hpp"

namespace bucle::py {

// Keeps the raised exception, if any, over a piece of code and puts it back at the end.
class ErrorScope {
  public:
    ErrorScope() noexcept : saved_(compat::take_exception()) {}
    ErrorScope(const ErrorScope&) = delete;
    ErrorScope& operator=(const ErrorScope&) = delete;
    ~ErrorScope() { compat::put_exception(std::move(saved_)); }

  private:
    Ref saved_;
};

// What an `except` block is to those whom it calls: sys.exc_info() shows them the exception.
class Handling {
  public:
    explicit Handling(PyObject* exception) noexcept
        : before_(Ref::steal(PyErr_GetHandledException())) {
        PyErr_SetHandledException(exception);
    }
    Handling(const Handling&) = delete;
    Handling& operator=(const Handling&) = delete;
    ~Handling() { PyErr_SetHandledException(before_.get()); }

  private:
    Ref before_;
};

PyObject* raise_runtime_error(const char* text) noexcept;
PyObject* raise_type_error(const char* text) noexcept;
PyObject* raise_value_error(const char* text) noexcept;
PyObject* raise_no_attribute(PyObject* self, const char* name) noexcept; // AttributeError
int raise_undeletable(PyObject* self, const char* name) noexcept;        // for a setter; -1
[[nodiscard]] bool raise_os_error(int error) noexcept; // of the error's own class; false

// True for the two exceptions that asyncio lets out of the loop: KeyboardInterrupt, SystemExit.
bool is_exit_exception(PyObject* exception) noexcept;
bool exit_exception_raised() noexcept;

// What the interpreter does with an exception that is raised while it handles `context`, which may
// be null.
void set_context(PyObject* exception, PyObject* context) noexcept;

// Python's `finally`: the raised exception, if any, is kept over a piece of code, and is put back
// at its end or becomes the context of one that is raised there.
class Finally {
  public:
    Finally() noexcept : kept_(compat::take_exception()) {}
    Finally(const Finally&) = delete;
    Finally& operator=(const Finally&) = delete;
    ~Finally() {
        Ref raised = compat::take_exception();
        if (raised) {
            set_context(raised.get(), kept_.get());
        }
        compat::put_exception(raised ? std::move(raised) : std::move(kept_));
    }

  private:
    Ref kept_;
};

// Raises `exception` (an instance) with `context` as its context when it has none.
void raise_chained(Ref exception, Ref context) noexcept;

// The ResourceWarning "unclosed {kind} {object!r}" of a finalizer. What comes of it, as where
// warnings are errors, is told to sys.unraisablehook.
void warn_unclosed(PyObject* object, const char* kind) noexcept;

// Raises an instance as Python's `raise` does: what is being handled becomes its context.
void raise(Ref exception) noexcept;

} // namespace bucle::py
