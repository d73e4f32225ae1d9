// The cold half of error.hpp.
#include "py/error.hpp"

#include "py/call.hpp"
#include "py/state.hpp"

namespace bucle::py {

PyObject* raise_runtime_error(const char* text) noexcept {
    PyErr_SetString(PyExc_RuntimeError, text);
    return nullptr;
}

PyObject* raise_type_error(const char* text) noexcept {
    PyErr_SetString(PyExc_TypeError, text);
    return nullptr;
}

PyObject* raise_value_error(const char* text) noexcept {
    PyErr_SetString(PyExc_ValueError, text);
    return nullptr;
}

PyObject* raise_no_attribute(PyObject* self, const char* name) noexcept {
    return PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute '%s'",
                        Py_TYPE(self)->tp_name, name);
}

int raise_undeletable(PyObject* self, const char* name) noexcept {
    if constexpr (compat::kUndeletableIsNamed) {
        PyErr_Format(PyExc_AttributeError, "attribute '%s' of '%.100s' objects cannot be deleted",
                     name, Py_TYPE(self)->tp_name);
    } else {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
    }
    return -1;
}

bool raise_os_error(int error) noexcept {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
}

bool is_exit_exception(PyObject* exception) noexcept {
    return PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt) != 0 ||
           PyErr_GivenExceptionMatches(exception, PyExc_SystemExit) != 0;
}

bool exit_exception_raised() noexcept {
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0 ||
           PyErr_ExceptionMatches(PyExc_SystemExit) != 0;
}

void set_context(PyObject* exception, PyObject* context) noexcept {
    if (context == nullptr || context == exception) {
        return;
    }
    // Where the chain leads back to the exception it is cut; `slow` meets a circle without it.
    Ref slow = Ref::borrow(context);
    bool odd = false;
    for (Ref link = Ref::borrow(context); link; odd = !odd) {
        Ref next = Ref::steal(PyException_GetContext(link.get()));
        if (next.get() == exception) {
            PyException_SetContext(link.get(), nullptr);
            break;
        }
        link = std::move(next);
        slow = odd ? Ref::steal(PyException_GetContext(slow.get())) : std::move(slow);
        if (link.get() == slow.get()) {
            break;
        }
    }
    PyException_SetContext(exception, new_ref(context));
}

void raise_chained(Ref exception, Ref context) noexcept {
    if (context && context.get() != exception.get()) {
        Ref present = Ref::steal(PyException_GetContext(exception.get()));
        if (!present) {
            PyException_SetContext(exception.get(), context.release());
        }
    }
    compat::put_exception(std::move(exception));
}

void warn_unclosed(PyObject* object, const char* kind) noexcept {
    const Ref text = Ref::steal(PyUnicode_FromFormat("unclosed %s %R", kind, object));
    PyObject* stack[] = {text.get(), PyExc_ResourceWarning, object};
    if (!text || !Ref::steal(PyObject_Vectorcall(state().warn, stack, 2, names().kw_source))) {
        PyErr_WriteUnraisable(object);
    }
}

void raise(Ref exception) noexcept {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

} // namespace bucle::py
