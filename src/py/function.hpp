// Function: a function or method of asyncio's whose body is C++. Its twin, the function of the
// installed asyncio, gives everything else: signature, defaults, documentation, and through its
// code object what inspect.signature() and inspect.iscoroutinefunction() answer, whatever this
// version's rules are. A call that does not fit the signature is handed to the twin, which raises
// the very TypeError that asyncio raises. So is a method called on an object that is not native.
#pragma once

#include "py/ref.hpp"

namespace bucle::py {

struct Function;

// The arguments stand as the twin's code has them: those by position, those by keyword only, then
// the tuple of *args and the dict of **kwargs where it takes such. Defaults are filled in. All are
// borrowed.
using FunctionBody = PyObject* (*)(Function& function, PyObject* const* args) noexcept;

struct Function {
    PyObject_HEAD vectorcallfunc vectorcall;
    FunctionBody body;
    void* extra;          // for the body
    PyObject* twin;       // owned, as are the next three
    PyObject* names;      // tuple: of the arguments
    PyObject* defaults;   // tuple or null
    PyObject* kwdefaults; // dict or null
    // See core/stand_in.hpp; null: none yet. Never dropped and not told to the collector: an
    // interpreter that ends would say of it that it was never awaited.
    PyObject* stand_in;
    PyTypeObject* receiver; // of a method, not owned: the type is alive while its method is called
    std::uint8_t positional;
    std::uint8_t positional_only;
    std::uint8_t keyword_only;
    std::uint8_t required; // by position
    bool plain;            // by position only: neither *args, **kwargs nor keyword-only arguments
    bool varargs;
    bool varkeywords;
    PyObject* weakrefs;
    PyObject* dict; // what programs put there; null: nothing yet
};

inline Function& as_function(PyObject* self) noexcept {
    return *reinterpret_cast<Function*>(self);
}

// `receiver` null: not a method.
Ref make_function(PyObject* twin, FunctionBody body, void* extra, PyTypeObject* receiver) noexcept;

struct FunctionRow {
    const char* name;
    FunctionBody body;
    void* extra = nullptr;
};

// Puts methods on `type`; their twins are those of `stock`, a class of asyncio's. A row that
// `stock` has no method for is left out; ends with {nullptr}.
[[nodiscard]] bool add_functions(PyTypeObject* type, PyObject* stock,
                                 const FunctionRow* rows) noexcept;

// Puts functions into `module`; their twins are those of `stock_module`.
[[nodiscard]] bool add_module_functions(PyObject* module, const char* stock_module,
                                        const FunctionRow* rows) noexcept;

// Whether the body of an asyncio function mentions a name, or has a local variable or a constant of
// it: how a change of asyncio's behaviour within a version is told. `path` is "sleep",
// "TaskGroup.create_task" or "shield._inner_done_callback", a function inside another.
bool twin_mentions(const char* stock_module, const char* path, const char* name) noexcept;
// Whether it mentions `first`, an attribute or a global name, and only afterwards `second`.
bool twin_mentions_first(const char* stock_module, const char* path, const char* first,
                         const char* second) noexcept;

[[nodiscard]] bool make_function_type(PyObject* module) noexcept;

} // namespace bucle::py
