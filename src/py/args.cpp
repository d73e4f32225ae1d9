// See args.hpp.
#include "py/args.hpp"

#include <algorithm>
#include <cstring>

namespace bucle::py {
namespace {

int count_names(const Signature& signature) noexcept {
    int count = 0;
    while (signature.names[count] != nullptr) {
        ++count;
    }
    return count;
}

bool place_positional(const Signature& signature, PyObject* const* args, Py_ssize_t nargs,
                      PyObject** out) noexcept {
    if (nargs > signature.positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes %s %d positional argument%s (%zd given)",
                     signature.function,
                     signature.required < signature.positional ? "at most" : "exactly",
                     signature.positional, signature.positional == 1 ? "" : "s", nargs);
        return false;
    }
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        out[i] = args[i];
    }
    return true;
}

bool place_keyword(const Signature& signature, PyObject* name, PyObject* value,
                   PyObject** out) noexcept {
    for (int i = signature.positional_only_first ? 1 : 0; signature.names[i] != nullptr; ++i) {
        if (PyUnicode_CompareWithASCIIString(name, signature.names[i]) != 0) {
            continue;
        }
        if (out[i] != nullptr) {
            PyErr_Format(PyExc_TypeError,
                         "argument for %s() given by name ('%U') and position (%d)",
                         signature.function, name, i + 1);
            return false;
        }
        out[i] = value;
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                 signature.function, name);
    return false;
}

bool check_required(const Signature& signature, PyObject* const* out) noexcept {
    for (int i = 0; i < signature.required; ++i) {
        if (out[i] == nullptr) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s' (pos %d)",
                         signature.function, signature.names[i], i + 1);
            return false;
        }
    }
    return true;
}

} // namespace

bool parse_fastcall(const Signature& signature, PyObject* const* args, Py_ssize_t nargs,
                    PyObject* kwnames, PyObject** out) noexcept {
    std::memset(out, 0, sizeof(PyObject*) * static_cast<std::size_t>(count_names(signature)));
    if (!place_positional(signature, args, nargs, out)) {
        return false;
    }
    const Py_ssize_t nkw = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < nkw; ++i) {
        if (!place_keyword(signature, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], out)) {
            return false;
        }
    }
    return check_required(signature, out);
}

bool parse_call(const Signature& signature, PyObject* args, PyObject* kwargs,
                PyObject** out) noexcept {
    std::memset(out, 0, sizeof(PyObject*) * static_cast<std::size_t>(count_names(signature)));
    if (!place_positional(signature, PySequence_Fast_ITEMS(args), PyTuple_GET_SIZE(args), out)) {
        return false;
    }
    PyObject *name = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    while (kwargs != nullptr && PyDict_Next(kwargs, &at, &name, &value) != 0) {
        if (!place_keyword(signature, name, value, out)) {
            return false;
        }
    }
    return check_required(signature, out);
}

bool sort_callback_args(const char* method, const char* const* names, PyObject* const* args,
                        Py_ssize_t nargs, PyObject* kwnames, CallbackArgs& out,
                        bool takes_context) noexcept {
    const Py_ssize_t named = names[1] == nullptr ? 1 : 2;
    out.args = args;
    out.nargs = nargs;
    if (nargs < named) {
        std::copy_n(args, nargs, out.by_name);
        out.args = out.by_name;
        out.nargs = named;
    }
    const Py_ssize_t keywords = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < keywords; ++i) {
        PyObject* name = PyTuple_GET_ITEM(kwnames, i);
        if (takes_context && PyUnicode_CompareWithASCIIString(name, "context") == 0) {
            out.context = args[nargs + i];
            continue;
        }
        Py_ssize_t at = 0;
        while (at != named && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) {
            ++at;
        }
        if (at == named || at < nargs) {
            PyErr_Format(PyExc_TypeError,
                         at == named ? "Loop.%s() got an unexpected keyword argument '%U'"
                                     : "Loop.%s() got multiple values for argument '%U'",
                         method, name);
            return false;
        }
        out.by_name[at] = args[nargs + i];
    }
    for (Py_ssize_t at = nargs; at < named; ++at) {
        if (out.by_name[at] == nullptr) {
            PyErr_Format(PyExc_TypeError, "Loop.%s() missing 1 required positional argument: '%s'",
                         method, names[at]);
            return false;
        }
    }
    return true;
}

} // namespace bucle::py
