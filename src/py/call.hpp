// Calls without tuples.
#pragma once

#include "base/growable.hpp"
#include "py/ref.hpp"

namespace bucle::py {

inline Ref call(PyObject* function) noexcept {
    return Ref::steal(PyObject_CallNoArgs(function));
}

template <class... Args>
Ref call(PyObject* function, Args*... args) noexcept {
    PyObject* stack[] = {nullptr, args...};
    return Ref::steal(PyObject_Vectorcall(
        function, stack + 1, sizeof...(args) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

template <class... Args>
Ref call_method(PyObject* self, PyObject* name, Args*... args) noexcept {
    PyObject* stack[] = {self, args...};
    return Ref::steal(PyObject_VectorcallMethod(
        name, stack, (sizeof...(args) + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

// self.name(args..., keyword=last): the names of the keywords are a tuple kept by the caller.
template <class... Args>
Ref call_method_kw(PyObject* self, PyObject* name, PyObject* kwnames, Args*... args) noexcept {
    PyObject* stack[] = {self, args...};
    const std::size_t positional =
        sizeof...(args) + 1 - static_cast<std::size_t>(PyTuple_GET_SIZE(kwnames));
    return Ref::steal(PyObject_VectorcallMethod(
        name, stack, positional | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames));
}

// The arguments, borrowed, of a vectorcall whose number is known at run time only.
class ArgStack {
  public:
    // False with MemoryError set.
    [[nodiscard]] bool add(PyObject* const* args, Py_ssize_t count) noexcept {
        for (Py_ssize_t i = 0; i < count; ++i) {
            if (!add(args[i])) {
                return false;
            }
        }
        return true;
    }
    [[nodiscard]] bool add(PyObject* argument) noexcept {
        if (!arguments_.push_back(argument)) {
            PyErr_NoMemory();
            return false;
        }
        return true;
    }
    PyObject* const* data() const noexcept { return arguments_.begin(); }
    std::size_t size() const noexcept { return arguments_.size(); }

  private:
    base::Growable<PyObject*> arguments_;
};

// What a call that answers yes or no gave: 1, 0, or -1 with an error set.
[[nodiscard]] inline int truth_of(const Ref& answer) noexcept {
    return answer ? PyObject_IsTrue(answer.get()) : -1;
}

inline Ref get_attr(PyObject* self, PyObject* name) noexcept {
    return Ref::steal(PyObject_GetAttr(self, name));
}

// The attribute or null; an AttributeError is swallowed, another error stays raised.
inline Ref get_optional_attr(PyObject* self, PyObject* name) noexcept {
    PyObject* value = PyObject_GetAttr(self, name);
    if (value == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return Ref::steal(value);
}

} // namespace bucle::py
