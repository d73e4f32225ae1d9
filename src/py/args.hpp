// Arguments of METH_FASTCALL | METH_KEYWORDS functions, sorted into named places without a tuple or
// a dict. Messages read like those of Argument Clinic. Values are borrowed from the caller.
#pragma once

#include "py/python.hpp"

namespace bucle::py {

// A METH_FASTCALL function, with or without METH_KEYWORDS, as it stands in a PyMethodDef.
template <class Function>
PyCFunction as_method(Function* function) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

struct Signature {
    const char* function;               // as it stands in messages
    const char* const* names;           // null-terminated
    int positional;                     // how many of the names may be given by position
    int required;                       // the first so many names must be given
    bool positional_only_first = false; // the first name cannot be given by keyword
};

// Fills `out` (as many places as there are names; null where absent). False with an error set.
[[nodiscard]] bool parse_fastcall(const Signature& signature, PyObject* const* args,
                                  Py_ssize_t nargs, PyObject* kwnames, PyObject** out) noexcept;

// The same for tp_init and tp_new, which get a tuple and a dict.
[[nodiscard]] bool parse_call(const Signature& signature, PyObject* args, PyObject* kwargs,
                              PyObject** out) noexcept;

// A method of one argument that can be given by name.
template <PyObject* (*Function)(PyObject*, PyObject*) noexcept, const char* Method,
          const char* Name>
PyObject* one_argument(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                       PyObject* kwnames) noexcept {
    if (nargs == 1 && kwnames == nullptr) [[likely]] {
        return Function(self, args[0]);
    }
    const char* const names[] = {Name, nullptr};
    const Signature signature = {Method, names, 1, 1};
    PyObject* given = nullptr;
    return parse_fastcall(signature, args, nargs, kwnames, &given) ? Function(self, given)
                                                                   : nullptr;
}

// The arguments of call_soon(callback, *args, context=None) and its like, sorted: first the named
// ones (`names`, one or two and a null; each also by keyword, as in asyncio), then those for the
// callback. `takes_context`: whether there is a context to give.
struct CallbackArgs {
    PyObject* const* args = nullptr;
    Py_ssize_t nargs = 0;
    PyObject* context = nullptr; // null: not given
    PyObject* by_name[2] = {};
};
[[nodiscard]] bool sort_callback_args(const char* method, const char* const* names,
                                      PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                                      CallbackArgs& out, bool takes_context = true) noexcept;

} // namespace bucle::py
