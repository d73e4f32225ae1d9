// What coroutine.__await__() returns to Python, as the interpreter's own coroutines do: an
// iterator. The coroutine itself is none. `await coroutine` needs no other object.
#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "py/args.hpp"

namespace bucle::core {
namespace {

struct Wrapper {
    PyObject_HEAD py::Ref coroutine;
};

PyObject* coroutine_of(PyObject* self) noexcept {
    return reinterpret_cast<Wrapper*>(self)->coroutine.get();
}

PySendResult resume(PyObject* self, PyObject* value, PyObject** out) noexcept {
    return coroutine_send(coroutine_of(self), value, out);
}

PyObject* next(PyObject* self) noexcept {
    PyObject* value = nullptr;
    const PySendResult outcome = resume(self, Py_None, &value);
    return as_next(outcome, value);
}

PyObject* send(PyObject* self, PyObject* value) noexcept {
    PyObject* out = nullptr;
    const PySendResult outcome = resume(self, value, &out);
    return as_sent(outcome, out);
}

PyObject* throw_method(PyObject* self, PyObject* const* args, Py_ssize_t nargs) noexcept {
    return coroutine_throw_method(coroutine_of(self), args, nargs);
}

PyObject* close(PyObject* self, PyObject*) noexcept {
    return coroutine_close(coroutine_of(self)) ? py::new_ref(Py_None) : nullptr;
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const int stop = reinterpret_cast<Wrapper*>(self)->coroutine.visit(visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

// No tp_clear: like a tuple it is whole while it lives; the coroutine breaks what cycle there is.
void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    reinterpret_cast<Wrapper*>(self)->coroutine.reset();
    py::free_instance(self);
}

PyMethodDef methods[] = {
    {"send", send, METH_O,
     "send($self, value, /)\n--\n\n"
     "Resume the coroutine; return what it yields next, or raise StopIteration."},
    {"throw", py::as_method(throw_method), METH_FASTCALL,
     "throw($self, type, value=None, traceback=None, /)\n--\n\n"
     "Raise an exception where the coroutine stands."},
    {"close", close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Raise GeneratorExit where the coroutine stands, and end it."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

PyObject* make_coroutine_wrapper(PyObject* coroutine) noexcept {
    PyObject* const self = py::allocate(py::state().coroutine_wrapper_type);
    if (self != nullptr) {
        reinterpret_cast<Wrapper*>(self)->coroutine = py::Ref::borrow(coroutine);
    }
    return self;
}

bool make_coroutine_wrapper_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("The iterator of a native coroutine.")},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
        {Py_tp_iternext, reinterpret_cast<void*>(next)},
        {Py_am_send, reinterpret_cast<void*>(resume)},
        {Py_tp_methods, methods},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.coroutine_wrapper",
                                   slots,
                                   sizeof(Wrapper) - sizeof(PyObject),
                                   alignof(Wrapper),
                                   nullptr,
                                   nullptr,
                                   Py_TPFLAGS_DISALLOW_INSTANTIATION};
    py::state().coroutine_wrapper_type = py::make_type(module, recipe, nullptr);
    return py::state().coroutine_wrapper_type != nullptr;
}

} // namespace bucle::core
