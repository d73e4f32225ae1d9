// Making and running handles. See handle.hpp; the slots seen from Python are in handle_slots.cpp.
#include "core/handle.hpp"

#include "core/context.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {

HandleCore* handle_core(PyObject* handle) noexcept {
    const py::State& state = py::state();
    PyTypeObject* type = Py_TYPE(handle);
    if (type == state.handle_type || type == state.threadsafe_handle_type ||
        type == state.timer_handle_type || PyType_IsSubtype(type, state.timer_handle_type) ||
        (state.threadsafe_handle_type != nullptr &&
         PyType_IsSubtype(type, state.threadsafe_handle_type)) ||
        PyType_IsSubtype(type, state.handle_type)) {
        return py::own_fields<HandleCore>(handle, handle_offset);
    }
    return nullptr;
}

TimerCore* timer_core(PyObject* handle) noexcept {
    return py::own_fields<TimerCore>(handle, handle_offset);
}

namespace {

bool keep_args(HandleCore& core, PyObject* const* args, Py_ssize_t nargs) noexcept {
    if (nargs > HandleCore::kInline) {
        core.first_arg = py::Ref::steal(PyTuple_New(nargs));
        if (!core.first_arg) {
            return false;
        }
        for (Py_ssize_t i = 0; i < nargs; ++i) {
            PyTuple_SET_ITEM(core.first_arg.get(), i, py::new_ref(args[i]));
        }
        core.nargs = HandleCore::kTuple;
        return true;
    }
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        core.arg(i) = py::Ref::borrow(args[i]);
    }
    core.nargs = static_cast<std::int8_t>(nargs);
    return true;
}

py::Ref take_handle(py::HandleBlocks& blocks, PyTypeObject* type, bool tracked) noexcept {
    py::Ref handle = py::Ref::steal(blocks.take_clean(type));
    if (handle && tracked) {
        py::track(handle.get());
    }
    return handle;
}

py::Ref fill_handle(py::Ref handle, HandleCore& core, Scheduler& scheduler, PyObject* callback,
                    PyObject* const* args, Py_ssize_t nargs, PyObject* context) noexcept {
    core.loop = py::Ref::borrow(scheduler.loop);
    core.callback = py::Ref::borrow(callback);
    core.context = py::Ref::borrow(context);
    if (!keep_args(core, args, nargs)) {
        return {};
    }
    if (scheduler.debug()) [[unlikely]] {
        core.source_traceback = py::call(py::state().extract_stack);
        if (!core.source_traceback) {
            return {};
        }
    }
    return handle;
}

py::Ref call_callback(const HandleCore& core, PyObject* callback) noexcept {
    if (core.nargs == HandleCore::kTuple) {
        const py::Ref args = core.first_arg.clone();
        return py::Ref::steal(PyObject_CallObject(callback, args.get()));
    }
    // A copy: the callback may cancel its own handle, which drops the arguments.
    PyObject* stack[HandleCore::kInline + 1] = {nullptr};
    const auto nargs = static_cast<std::size_t>(core.nargs);
    for (std::size_t i = 1; i <= nargs; ++i) {
        stack[i] = py::value_or_none(core.arg(static_cast<Py_ssize_t>(i) - 1).get());
    }
    py::Ref result = py::Ref::steal(
        PyObject_Vectorcall(callback, stack + 1, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
    for (std::size_t i = 1; i <= nargs; ++i) {
        py::drop(stack[i]);
    }
    return result;
}

// asyncio asks of a context no more than a method run(). False with an error set.
bool call_by_name(const HandleCore& core, PyObject* context, PyObject* callback) noexcept {
    PyErr_Clear();
    const py::Ref args = handle_args_tuple(core);
    const py::Ref first = args ? py::Ref::steal(PyTuple_Pack(1, callback)) : py::Ref();
    const py::Ref all =
        first ? py::Ref::steal(PySequence_Concat(first.get(), args.get())) : py::Ref();
    const py::Ref run = all ? py::Ref::steal(PyObject_GetAttrString(context, "run")) : py::Ref();
    return run && py::Ref::steal(PyObject_CallObject(run.get(), all.get()));
}

py::Ref callback_source(const HandleCore& core, PyObject* callback, bool debug) noexcept {
    const py::State& state = py::state();
    py::Ref args = handle_args_tuple(core);
    if (!args || !state.callback_source_takes_debug) {
        return args ? py::call(state.format_callback_source, callback, args.get()) : py::Ref();
    }
    py::Ref keywords = py::Ref::steal(PyDict_New());
    py::Ref positional = py::Ref::steal(PyTuple_Pack(2, callback, args.get()));
    if (!keywords || !positional ||
        PyDict_SetItemString(keywords.get(), "debug", debug ? Py_True : Py_False) < 0) {
        return {};
    }
    return py::Ref::steal(
        PyObject_Call(state.format_callback_source, positional.get(), keywords.get()));
}

// The error of a callback, told in asyncio's words. False when the exception handler raised.
[[nodiscard]] bool report_failure(PyObject* handle, HandleCore& core, PyObject* callback) noexcept {
    if (!core.loop) {
        return false; // its constructor never ran: whoever called it gets the error
    }
    const py::Names& names = py::names();
    py::Ref exception = py::compat::take_exception();
    py::Ref loop = core.loop.clone();
    bool failed = false;
    const bool debug = debug_of(loop.get(), failed);
    py::Ref source = failed ? py::Ref() : callback_source(core, callback, debug);
    py::Ref message =
        source ? py::Ref::steal(PyUnicode_FromFormat("Exception in callback %U", source.get()))
               : py::Ref();
    const py::Handling handled(exception.get());
    return report_to_loop(loop.get(), std::move(message),
                          {{names.exception, exception.get()},
                           {names.handle, handle},
                           {names.source_traceback, core.source_traceback.get()}});
}

} // namespace

bool report_failed_callback(Scheduler& scheduler, PyObject* callback, PyObject* argument) noexcept {
    py::Ref error = py::compat::take_exception();
    const py::Ref handle =
        make_handle(scheduler, callback, &argument, argument == nullptr ? 0 : 1, nullptr);
    if (!handle) {
        return false;
    }
    py::compat::put_exception(std::move(error));
    return report_failure(handle.get(), *handle_core(handle.get()), callback);
}

py::Ref make_handle(Scheduler& scheduler, PyObject* callback, PyObject* const* args,
                    Py_ssize_t nargs, PyObject* context, bool tracked) noexcept {
    py::State& state = py::state();
    py::Ref handle = take_handle(state.handle_blocks, state.handle_type, tracked);
    if (!handle) {
        return handle;
    }
    HandleCore& core = *py::own_fields<HandleCore>(handle.get(), handle_offset);
    return fill_handle(std::move(handle), core, scheduler, callback, args, nargs, context);
}

py::Ref make_timer_handle(Scheduler& scheduler, double when, PyObject* callback,
                          PyObject* const* args, Py_ssize_t nargs, PyObject* context) noexcept {
    py::Ref handle = py::Ref::steal(py::allocate(py::state().timer_handle_type));
    if (!handle) {
        return handle;
    }
    TimerCore& core = *timer_core(handle.get());
    core.when = when;
    return fill_handle(std::move(handle), core, scheduler, callback, args, nargs, context);
}

py::Ref make_threadsafe_handle(Scheduler& scheduler, PyObject* callback, PyObject* const* args,
                               Py_ssize_t nargs, PyObject* context, bool tracked) noexcept {
    if constexpr (!py::compat::kHasThreadSafeHandle) {
        return make_handle(scheduler, callback, args, nargs, context, tracked);
    }
    py::State& state = py::state();
    py::Ref handle =
        take_handle(state.threadsafe_handle_blocks, state.threadsafe_handle_type, tracked);
    if (!handle) {
        return handle;
    }
    HandleCore& core = *py::own_fields<HandleCore>(handle.get(), handle_offset);
    return fill_handle(std::move(handle), core, scheduler, callback, args, nargs, context);
}

py::Ref handle_args_tuple(const HandleCore& core) noexcept {
    if (core.nargs == HandleCore::kTuple) {
        return core.first_arg ? core.first_arg.clone() : py::Ref::steal(PyTuple_New(0));
    }
    py::Ref tuple = py::Ref::steal(PyTuple_New(core.nargs));
    for (Py_ssize_t i = 0; tuple && i < core.nargs; ++i) {
        PyTuple_SET_ITEM(tuple.get(), i, py::value_or_none(core.arg(i).get()));
    }
    return tuple;
}

bool cancel_handle(PyObject* handle, HandleCore& core) noexcept {
    if (core.cancelled) {
        return true;
    }
    core.cancelled = true;
    bool failed = false;
    if (core.loop && debug_of(core.loop.get(), failed)) {
        core.repr = py::Ref::steal(PyObject_Repr(handle));
        failed = !core.repr;
    }
    if (failed) {
        return false;
    }
    py::Ref callback = std::move(core.callback);
    core.nargs = 0;
    for (Py_ssize_t i = 0; i < HandleCore::kInline; ++i) {
        core.arg(i).reset();
    }
    return true;
}

bool run_handle(PyObject* handle, HandleCore& core, py::Ref& spare) noexcept {
    const bool borrowed_spare = !core.context;
    py::Ref context = borrowed_spare ? std::move(spare) : core.context.clone();
    if (!context) {
        context = make_empty_context();
    }
    // A cancelled handle that somebody runs by hand calls None, and says so as asyncio's does.
    const py::Ref callback = core.callback ? core.callback.clone() : py::none();
    if (!context || PyContext_Enter(context.get()) < 0) {
        return (context && !PyContext_CheckExact(context.get()) &&
                call_by_name(core, context.get(), callback.get())) ||
               (!py::exit_exception_raised() && report_failure(handle, core, callback.get()));
    }
    py::Ref result = call_callback(core, callback.get());
    if (result) [[likely]] {
        if (PyContext_Exit(context.get()) < 0) {
            return false;
        }
        if (borrowed_spare && py::is_sole_owner(context.get()) && is_empty_context(context.get())) {
            spare = std::move(context);
        }
        return true;
    }
    if (borrowed_spare) {
        core.context = context.clone(); // the exception handler runs in it
    }
    {
        const py::ErrorScope keep;
        if (PyContext_Exit(context.get()) < 0) {
            PyErr_WriteUnraisable(context.get());
        }
    }
    if (py::exit_exception_raised()) {
        return false;
    }
    return report_failure(handle, core, callback.get());
}

} // namespace bucle::core
