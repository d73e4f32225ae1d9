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

} // namespace bucle::py
