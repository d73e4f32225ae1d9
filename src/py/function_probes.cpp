// What the code of asyncio's own functions tells at import: see twin_mentions in function.hpp.
#include "py/function.hpp"

#include "py/call.hpp"

namespace bucle::py {
namespace {

// The code of a function that is defined in the body of another.
Ref find_inner_code(PyObject* code, PyObject* name) noexcept {
    const Ref constants = Ref::steal(PyObject_GetAttrString(code, "co_consts"));
    for (Py_ssize_t i = 0; constants && i != PyTuple_GET_SIZE(constants.get()); ++i) {
        PyObject* const inner = PyTuple_GET_ITEM(constants.get(), i);
        if (PyCode_Check(inner) &&
            PyUnicode_Compare(reinterpret_cast<PyCodeObject*>(inner)->co_name, name) == 0) {
            return Ref::borrow(inner);
        }
    }
    return {};
}

Ref find_code(const char* stock_module, const char* path) noexcept {
    const Ref steps = Ref::steal(PyUnicode_FromString(path));
    const Ref dot = Ref::steal(PyUnicode_FromString("."));
    const Ref names =
        steps && dot ? Ref::steal(PyUnicode_Split(steps.get(), dot.get(), -1)) : Ref();
    Ref object = names ? Ref::steal(PyImport_ImportModule(stock_module)) : Ref();
    Ref code;
    for (Py_ssize_t i = 0; object && i != PyList_GET_SIZE(names.get()); ++i) {
        PyObject* const name = PyList_GET_ITEM(names.get(), i);
        Ref member = code ? find_inner_code(code.get(), name) : get_attr(object.get(), name);
        code =
            member && PyCode_Check(member.get())
                ? member.clone()
                : Ref::steal(member ? PyObject_GetAttrString(member.get(), "__code__") : nullptr);
        PyErr_Clear(); // a class has none
        object = std::move(member);
    }
    PyErr_Clear();
    return object ? std::move(code) : Ref();
}

// Where a name stands in one of the code's lists of them; -1: nowhere.
Py_ssize_t find_name(PyObject* code, const char* list, const char* name) noexcept {
    const Ref mentioned = Ref::steal(PyObject_GetAttrString(code, list));
    const Ref wanted = mentioned ? Ref::steal(PyUnicode_FromString(name)) : Ref();
    const Py_ssize_t found = wanted ? PySequence_Index(mentioned.get(), wanted.get()) : -1;
    PyErr_Clear();
    return found;
}

} // namespace

bool twin_mentions(const char* stock_module, const char* path, const char* name) noexcept {
    const Ref code = find_code(stock_module, path);
    for (const char* list : {"co_names", "co_varnames", "co_cellvars", "co_consts"}) {
        if (code && find_name(code.get(), list, name) >= 0) {
            return true;
        }
    }
    return false;
}

bool twin_mentions_first(const char* stock_module, const char* path, const char* first,
                         const char* second) noexcept {
    // The interpreter lists them in the order in which they are met.
    const Ref code = find_code(stock_module, path);
    const Py_ssize_t at = code ? find_name(code.get(), "co_names", first) : -1;
    return at >= 0 && find_name(code.get(), "co_names", second) > at;
}

} // namespace bucle::py
