// `await future`: yields the future once while it is pending, then returns its result: by am_send,
// or by tp_iternext, which the interpreter's own SEND calls; there None costs no exception. The
// exact types are their own iterators: nothing is allocated for an await. The iterator object, as
// asyncio has it with send, throw and close, is what iter(), __await__() and subclasses give; it
// holds nothing but the future.
#include "core/awaiting.hpp"
#include "core/future.hpp"
#include "py/args.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

struct Iterator {
    PyObject_HEAD py::Ref future;
};

Iterator& as_iterator(PyObject* self) noexcept {
    return *reinterpret_cast<Iterator*>(self);
}

// One resumption of an await: PYGEN_NEXT with the future itself, or its outcome.
PySendResult resume(PyObject* future, PyObject** out) noexcept {
    FutureCore& core = *future_core(future);
    *out = nullptr;
    if (core.pending()) {
        if (core.blocking) {
            (void)py::raise_runtime_error("await wasn't used with future");
            return PYGEN_ERROR;
        }
        core.blocking = true;
        *out = py::new_ref(future);
        return PYGEN_NEXT;
    }
    *out = future_result(future, core).release();
    return *out == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
}

PySendResult send(PyObject* self, PyObject*, PyObject** out) noexcept {
    Iterator& iterator = as_iterator(self);
    if (!iterator.future) {
        *out = py::new_ref(Py_None);
        return PYGEN_RETURN;
    }
    const py::Ref future = iterator.future.clone();
    const PySendResult outcome = resume(future.get(), out);
    if (outcome == PYGEN_RETURN || !future_core(future.get())->pending()) {
        iterator.future.reset();
    }
    return outcome;
}

PyObject* next(PyObject* self) noexcept {
    PyObject* value = nullptr;
    const PySendResult outcome = send(self, Py_None, &value);
    return as_next(outcome, value);
}

PyObject* send_method(PyObject* self, PyObject*) noexcept {
    PyObject* value = next(self);
    if (value == nullptr && PyErr_Occurred() == nullptr) {
        PyErr_SetNone(PyExc_StopIteration); // a method cannot end as silently as tp_iternext
    }
    return value;
}

PyObject* throw_method(PyObject* self, PyObject* const* args, Py_ssize_t nargs) noexcept {
    py::Ref exception = exception_to_throw(args, nargs);
    as_iterator(self).future.reset();
    if (exception) {
        py::compat::put_exception(std::move(exception));
    }
    return nullptr;
}

PyObject* close(PyObject* self, PyObject*) noexcept {
    as_iterator(self).future.reset();
    Py_RETURN_NONE;
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const int stop = as_iterator(self).future.visit(visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    as_iterator(self).future.reset();
    return 0;
}

void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    (void)clear(self);
    py::state().iterator_blocks.give(self);
}

PyMethodDef methods[] = {
    {"send", send_method, METH_O,
     "send($self, value, /)\n--\n\n"
     "Resume the await; the value is not looked at."},
    {"throw", py::as_method(throw_method), METH_FASTCALL,
     "throw($self, type, value=None, traceback=None, /)\n--\n\n"
     "Drop the future and raise the exception."},
    {"close", close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Drop the future."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

PyObject* future_await_itself(PyObject* self) noexcept {
    return future_core(self)->initialized() ? py::new_ref(self) : not_initialized();
}

PySendResult future_send(PyObject* self, PyObject*, PyObject** out) noexcept {
    return resume(self, out);
}

PyObject* future_next(PyObject* self) noexcept {
    PyObject* value = nullptr;
    const PySendResult outcome = resume(self, &value);
    return as_next(outcome, value);
}

bool hide_next(PyTypeObject* type) noexcept {
    return PyDict_DelItemString(type->tp_dict, "__next__") == 0;
}

py::Ref make_future_iterator(PyObject* future) noexcept {
    py::State& state = py::state();
    py::Ref self = py::Ref::steal(state.iterator_blocks.take(state.future_iter_type));
    if (self) {
        py::track(self.get());
        as_iterator(self.get()).future = py::Ref::borrow(future);
    }
    return self;
}

bool make_future_iterator_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("One await of a future, as an iterator.")},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
        {Py_tp_iternext, reinterpret_cast<void*>(next)},
        {Py_am_send, reinterpret_cast<void*>(send)},
        {Py_tp_methods, methods},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {"bucle.FutureIter",
                                   slots,
                                   sizeof(Iterator) - sizeof(PyObject),
                                   alignof(py::Ref),
                                   nullptr,
                                   nullptr,
                                   Py_TPFLAGS_DISALLOW_INSTANTIATION};
    py::state().future_iter_type = py::make_type(module, recipe, nullptr);
    return py::state().future_iter_type != nullptr;
}

} // namespace bucle::core
