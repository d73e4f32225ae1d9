// Future as Python sees it. The method descriptors accept any _asyncio.Future (see
// py::add_methods_for), so that asyncio.Future.done(task) works after install(): every function
// finds out whom it serves, a native Future, a native Task, or a stock object, which is sent on to
// the stock method.
#include "core/context.hpp"
#include "core/future.hpp"
#include "core/task.hpp"
#include "py/args.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {

PyObject* not_initialized() noexcept {
    return py::raise_runtime_error("Future object is not initialized.");
}

PyObject* call_stock_method(PyObject* self, const char* name, PyObject* const* args,
                            Py_ssize_t nargs, PyObject* kwnames) noexcept {
    const py::State& state = py::state();
    PyTypeObject* base =
        PyType_IsSubtype(Py_TYPE(self), state.base_task) ? state.base_task : state.base_future;
    py::Ref method =
        py::Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(base), name));
    if (!method) {
        return nullptr;
    }
    const Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
    py::ArgStack stack;
    return stack.add(self) && stack.add(args, total)
               ? PyObject_Vectorcall(method.get(), stack.data(),
                                     static_cast<std::size_t>(nargs) + 1, kwnames)
               : nullptr;
}

bool parse_cancel(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                  PyObject** message) noexcept {
    static constexpr const char* kNames[] = {"msg", nullptr};
    static constexpr py::Signature kSignature = {"cancel", kNames, 1, 0};
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, message)) {
        return false;
    }
    *message = *message == nullptr ? Py_None : *message;
    return true;
}

namespace {

using Fastcall = PyObject* const*;

// What result() and exception() say of a future whose constructor never ran.
PyObject* invalid_state_of_none() noexcept {
    PyErr_SetString(py::state().invalid_state_error, "Future object is not initialized.");
    return nullptr;
}

PyObject* result(PyObject* self, PyObject*) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "result", nullptr, 0, nullptr);
    }
    return core->initialized() ? future_result(self, *core).release() : invalid_state_of_none();
}

PyObject* exception(PyObject* self, PyObject*) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "exception", nullptr, 0, nullptr);
    }
    if (!core->initialized()) {
        return invalid_state_of_none();
    }
    if (core->state == FutureState::cancelled) {
        return future_result(self, *core).release();
    }
    if (core->pending()) {
        PyErr_SetString(py::state().invalid_state_error, "Exception is not set.");
        return nullptr;
    }
    if (!core->exception) {
        Py_RETURN_NONE;
    }
    core->log_traceback = false;
    return core->exception.clone().release();
}

PyObject* set_result(PyObject* self, PyObject* value) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "set_result", &value, 1, nullptr);
    }
    return core->initialized() ? py::none_if(future_set_result(self, *core, value))
                               : not_initialized();
}

PyObject* set_exception(PyObject* self, PyObject* value) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "set_exception", &value, 1, nullptr);
    }
    return core->initialized() ? py::none_if(future_set_exception(self, *core, value))
                               : not_initialized();
}

PyObject* add_done(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "add_done_callback", args, nargs, kwnames);
    }
    static constexpr const char* kNames[] = {"fn", "context", nullptr};
    static constexpr py::Signature kSignature = {"add_done_callback", kNames, 1, 1, true};
    PyObject* given[2];
    if (!py::parse_fastcall(kSignature, args, nargs, kwnames, given)) {
        return nullptr;
    }
    if (!core->initialized()) {
        return not_initialized();
    }
    py::Ref context;
    if (given[1] == nullptr || given[1] == Py_None) {
        bool failed = false;
        context = copy_current_context(failed);
        if (failed) {
            return nullptr;
        }
    } else {
        context = py::Ref::borrow(given[1]);
    }
    return py::none_if(add_done_callback(self, *core, given[0], context.get()));
}

PyObject* remove_done(PyObject* self, PyObject* function) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "remove_done_callback", &function, 1, nullptr);
    }
    if (!core->initialized()) {
        return not_initialized();
    }
    const Py_ssize_t removed = remove_done_callback(*core, function);
    return removed < 0 ? nullptr : PyLong_FromSsize_t(removed);
}

PyObject* cancel(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "cancel", args, nargs, kwnames);
    }
    PyObject* message = nullptr;
    if (!parse_cancel(args, nargs, kwnames, &message)) {
        return nullptr;
    }
    if (!core->initialized()) {
        return not_initialized();
    }
    const int accepted = future_cancel(self, *core, message);
    return accepted < 0 ? nullptr : PyBool_FromLong(accepted);
}

PyObject* cancelled(PyObject* self, PyObject*) noexcept {
    const FutureCore* core = future_core(self);
    return core == nullptr ? call_stock_method(self, "cancelled", nullptr, 0, nullptr)
                           : PyBool_FromLong(core->state == FutureState::cancelled);
}

PyObject* done(PyObject* self, PyObject*) noexcept {
    const FutureCore* core = future_core(self);
    return core == nullptr ? call_stock_method(self, "done", nullptr, 0, nullptr)
                           : PyBool_FromLong(!core->pending());
}

PyObject* get_loop(PyObject* self, PyObject*) noexcept {
    const FutureCore* core = future_core(self);
    if (core == nullptr) {
        return call_stock_method(self, "get_loop", nullptr, 0, nullptr);
    }
    return core->initialized() ? core->loop.clone().release() : not_initialized();
}

PyObject* cancelled_error(PyObject* self, PyObject*) noexcept {
    FutureCore* core = future_core(self);
    return core == nullptr ? call_stock_method(self, "_make_cancelled_error", nullptr, 0, nullptr)
                           : make_cancelled_error(*core).release();
}

PyObject* get_state(PyObject* self, void*) noexcept {
    static constexpr const char* kTexts[] = {"PENDING", "CANCELLED", "FINISHED"};
    const FutureCore& core = *future_core(self);
    return core.initialized()
               ? PyUnicode_InternFromString(kTexts[static_cast<std::size_t>(core.state)])
               : not_initialized();
}

PyObject* get_blocking(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return PyBool_FromLong(core.initialized() && core.blocking);
}

int set_blocking(PyObject* self, PyObject* value, void*) noexcept {
    FutureCore& core = *future_core(self);
    if (!core.initialized()) {
        (void)not_initialized();
        return -1;
    }
    if (value == nullptr) {
        return py::raise_undeletable(self, "_asyncio_future_blocking");
    }
    const int truth = PyObject_IsTrue(value);
    core.blocking = truth > 0;
    return truth < 0 ? -1 : 0;
}

PyObject* get_loop_attr(PyObject* self, void*) noexcept {
    return py::value_or_none(future_core(self)->loop.get());
}

PyObject* get_callbacks(PyObject* self, void*) noexcept {
    FutureCore& core = *future_core(self);
    return core.initialized() ? callbacks_list(core).release() : not_initialized();
}

PyObject* get_result(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return core.initialized() ? py::value_or_none(core.result.get()) : not_initialized();
}

PyObject* get_exception(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return core.initialized() ? py::value_or_none(core.exception.get()) : not_initialized();
}

PyObject* get_log_traceback(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return core.initialized() ? PyBool_FromLong(core.log_traceback) : not_initialized();
}

int set_log_traceback(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        return py::raise_undeletable(self, "_log_traceback");
    }
    const int truth = PyObject_IsTrue(value);
    if (truth > 0) {
        (void)py::raise_value_error("_log_traceback can only be set to False");
    }
    if (truth != 0) {
        return -1;
    }
    future_core(self)->log_traceback = false;
    return 0;
}

PyObject* get_source_traceback(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return py::value_or_none(core.extras == nullptr ? nullptr
                                                    : core.extras->source_traceback.get());
}

PyObject* get_cancel_message(PyObject* self, void*) noexcept {
    const FutureCore& core = *future_core(self);
    return py::value_or_none(core.extras == nullptr ? nullptr : core.extras->cancel_message.get());
}

int set_cancel_message(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        return py::raise_undeletable(self, "_cancel_message");
    }
    FutureExtras* extras = future_core(self)->need_extras();
    if (extras == nullptr) {
        return -1;
    }
    FutureCore& core = *future_core(self);
    if (!core.pending()) {
        py::abi::mirror_done(self, core.loop.get(), static_cast<int>(core.state), core.result.get(),
                             core.exception.get(), value);
    }
    extras->cancel_message = py::Ref::borrow(value);
    return 0;
}

PyObject* repr(PyObject* self) noexcept {
    return future_core(self)->initialized() ? py::call(py::state().future_repr, self).release()
                                            : not_initialized();
}

int init(PyObject* self, PyObject* args, PyObject* kwargs) noexcept {
    static constexpr const char* kNames[] = {"loop", nullptr};
    static constexpr py::Signature kSignature = {"Future", kNames, 0, 0};
    PyObject* given[1];
    if (!py::parse_call(kSignature, args, kwargs, given)) {
        return -1;
    }
    FutureCore& core = *future_core(self);
    if (py::compat::kSecondInitRefused && core.initialized()) {
        PyErr_Format(PyExc_RuntimeError, "%s object is already initialized",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    return init_future(self, core, given[0]) ? 0 : -1;
}

PyObject* create(PyTypeObject* type, PyObject*, PyObject*) noexcept {
    return py::allocate(type);
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    if (const FutureCore* core = future_core(self)) {
        if (const int stop = visit_future(*core, visit, arg); stop != 0) {
            return stop;
        }
    }
    if (const int stop = py::abi::visit_awaited_by(self, visit, arg); stop != 0) {
        return stop;
    }
    if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    py::abi::clear_mirrors(self, false);
    clear_future(*future_core(self));
    py::abi::clear_awaited_by(self);
    py::compat::clear_instance_dict(self);
    return 0;
}

void finalize(PyObject* self) noexcept {
    report_unretrieved(self, *future_core(self));
}

void dealloc(PyObject* self) noexcept {
    const bool exact = Py_TYPE(self) == py::state().future_type;
    if ((!exact || future_core(self)->log_traceback) && !py::finalize_before_dealloc(self)) {
        return;
    }
    PyObject_GC_UnTrack(self);
    py::abi::clear_mirrors(self, false);
    clear_future(*future_core(self));
    py::State& state = py::state();
    if (exact) {
        py::abi::clear_awaited_by(self);
        py::chain_dealloc_into(self, state.base_future, state.future_blocks);
    } else {
        py::chain_dealloc(self, state.base_future);
    }
}

PyObject* repr_method(PyObject* self, PyObject*) noexcept {
    return future_core(self) == nullptr ? call_stock_method(self, "__repr__", nullptr, 0, nullptr)
                                        : repr(self);
}

PyObject* await_method(PyObject* self, PyObject*) noexcept {
    return future_core(self) == nullptr ? call_stock_method(self, "__await__", nullptr, 0, nullptr)
                                        : future_await(self);
}

} // namespace

PyObject* future_await(PyObject* self) noexcept {
    return future_core(self)->initialized() ? make_future_iterator(self).release()
                                            : not_initialized();
}

PyMethodDef future_methods[] = {
    {"result", result, METH_NOARGS,
     "result($self, /)\n--\n\n"
     "Return the result, or raise the exception, of a future that is done."},
    {"exception", exception, METH_NOARGS,
     "exception($self, /)\n--\n\n"
     "Return the exception of a future that is done, or None."},
    {"set_result", set_result, METH_O,
     "set_result($self, result, /)\n--\n\n"
     "Mark the future done and set its result."},
    {"set_exception", set_exception, METH_O,
     "set_exception($self, exception, /)\n--\n\n"
     "Mark the future done and set an exception."},
    {"add_done_callback", py::as_method(add_done), METH_FASTCALL | METH_KEYWORDS,
     "add_done_callback($self, fn, /, *, context=None)\n--\n\n"
     "Have the loop call fn(self) when the future is done."},
    {"remove_done_callback", remove_done, METH_O,
     "remove_done_callback($self, fn, /)\n--\n\n"
     "Remove all instances of a callback and return how many there were."},
    {"cancel", py::as_method(cancel), METH_FASTCALL | METH_KEYWORDS,
     "cancel($self, /, msg=None)\n--\n\n"
     "Cancel the future and schedule its callbacks; False if it is done."},
    {"cancelled", cancelled, METH_NOARGS,
     "cancelled($self, /)\n--\n\n"
     "Return True if the future was cancelled."},
    {"done", done, METH_NOARGS,
     "done($self, /)\n--\n\n"
     "Return True if the future has a result, an exception, or was cancelled."},
    {"get_loop", get_loop, METH_NOARGS,
     "get_loop($self, /)\n--\n\n"
     "Return the event loop that the future is bound to."},
    {"_make_cancelled_error", cancelled_error, METH_NOARGS,
     "_make_cancelled_error($self, /)\n--\n\n"
     "Make the CancelledError that a cancelled future raises."},
    {"__repr__", repr_method, METH_NOARGS,
     "__repr__($self, /)\n--\n\n"
     "Return repr(self)."},
    {"__await__", await_method, METH_NOARGS,
     "__await__($self, /)\n--\n\n"
     "Return an iterator to be used in an await expression."},
    {"__iter__", await_method, METH_NOARGS,
     "__iter__($self, /)\n--\n\n"
     "Implement iter(self)."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef future_getset[] = {
    {"_state", get_state, nullptr, nullptr, nullptr},
    {"_asyncio_future_blocking", get_blocking, set_blocking, nullptr, nullptr},
    {"_loop", get_loop_attr, nullptr, nullptr, nullptr},
    {"_callbacks", get_callbacks, nullptr, nullptr, nullptr},
    {"_result", get_result, nullptr, nullptr, nullptr},
    {"_exception", get_exception, nullptr, nullptr, nullptr},
    {"_log_traceback", get_log_traceback, set_log_traceback, nullptr, nullptr},
    {"_source_traceback", get_source_traceback, nullptr, nullptr, nullptr},
    {"_cancel_message", get_cancel_message, set_cancel_message, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

bool make_future_types(PyObject* module) noexcept {
    py::State& state = py::state();
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("Future(*, loop=None)\n--\n\n"
                                      "A result that is not there yet; it can be awaited.")},
        {Py_tp_new, reinterpret_cast<void*>(create)},
        {Py_tp_init, reinterpret_cast<void*>(init)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_iter, reinterpret_cast<void*>(future_await)},
        {Py_am_await, reinterpret_cast<void*>(future_await_itself)},
        {Py_tp_iternext, reinterpret_cast<void*>(future_next)},
        {Py_am_send, reinterpret_cast<void*>(future_send)},
        {Py_tp_getset, future_getset},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {
        "bucle.Future",    slots,      sizeof(FutureCore),  alignof(FutureCore),
        state.base_future, state.meta, Py_TPFLAGS_BASETYPE, true};
    state.future_type = py::make_type(module, recipe, &future_offset);
    return state.future_type != nullptr && hide_next(state.future_type) &&
           py::add_methods_for(state.future_type, state.base_future, future_methods) &&
           make_future_iterator_type(module);
}

} // namespace bucle::core
