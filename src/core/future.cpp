// The state machine of a future. See future.hpp; callbacks are in future_callbacks.cpp.
#include "core/future.hpp"

#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {

std::size_t future_offset = 0;

FutureExtras* FutureCore::need_extras() noexcept {
    if (extras == nullptr) {
        extras = new (std::nothrow) FutureExtras;
        if (extras == nullptr) {
            PyErr_NoMemory();
        }
    }
    return extras;
}

bool init_future(PyObject* self, FutureCore& core, PyObject* loop) noexcept {
    py::Ref found = loop == nullptr || loop == Py_None ? py::call(py::state().get_event_loop)
                                                       : py::Ref::borrow(loop);
    if (!found) {
        return false;
    }
    if (core.initialized()) { // a second __init__ begins anew
        py::abi::clear_mirrors(self, is_native_task(self));
    }
    clear_future(core);
    core.state = FutureState::pending;
    core.blocking = core.log_traceback = false;
    bool failed = false;
    const bool debug = debug_of(found.get(), failed);
    if (failed) {
        return false;
    }
    core.loop = std::move(found);
    if (debug && !py::compat::is_finalizing()) [[unlikely]] {
        FutureExtras* extras = core.need_extras();
        if (extras == nullptr) {
            return false;
        }
        extras->source_traceback = py::call(py::state().traceback_extract_stack);
        return static_cast<bool>(extras->source_traceback);
    }
    return true;
}

py::Ref loop_of(PyObject* future) noexcept {
    if (waits_natively(future) && future_core(future)->initialized()) {
        return future_core(future)->loop.clone();
    }
    const py::Ref get_loop = py::get_optional_attr(future, py::names().get_loop);
    if (get_loop) {
        return py::call(get_loop.get());
    }
    return PyErr_Occurred() == nullptr ? py::get_attr(future, py::names()._loop) : py::Ref();
}

py::Ref make_future(PyObject* loop) noexcept {
    py::State& state = py::state();
    py::Ref self = py::Ref::steal(state.future_blocks.take(state.future_type));
    if (!self) {
        return self;
    }
    py::track(self.get());
    if (!init_future(self.get(), *py::own_fields<FutureCore>(self.get(), future_offset), loop)) {
        return {};
    }
    return self;
}

namespace {

PyObject* invalid_state(const char* text) noexcept {
    PyErr_SetString(py::state().invalid_state_error, text);
    return nullptr;
}

// A StopIteration inside a Future would end the coroutine that awaits it: refused up to 3.12,
// wrapped later.
py::Ref storable_exception(py::Ref exception) noexcept {
    static constexpr const char* kText =
        "StopIteration interacts badly with generators and cannot be raised into a Future";
    if constexpr (py::compat::kStopIterationIsWrapped) {
        if (PyErr_GivenExceptionMatches(exception.get(), PyExc_StopIteration) == 0) {
            return exception;
        }
        py::Ref text = py::Ref::steal(PyUnicode_FromString(kText));
        py::Ref wrapper = text ? py::call(PyExc_RuntimeError, text.get()) : py::Ref();
        if (wrapper) {
            PyException_SetCause(wrapper.get(), exception.clone().release());
            PyException_SetContext(wrapper.get(), exception.release());
        }
        return wrapper;
    } else {
        if (Py_IS_TYPE(exception.get(), reinterpret_cast<PyTypeObject*>(PyExc_StopIteration))) {
            py::raise_type_error(kText);
            return {};
        }
        return exception;
    }
}

void finish(PyObject* self, FutureCore& core, FutureState state) noexcept {
    core.state = state;
    py::abi::mirror_done(self, core.loop.get(), static_cast<int>(state), core.result.get(),
                         core.exception.get(),
                         core.extras == nullptr        ? nullptr
                         : core.extras->thrown_message ? core.extras->thrown_message.get()
                                                       : core.extras->cancel_message.get());
}

} // namespace

bool future_set_result(PyObject* self, FutureCore& core, PyObject* result) noexcept {
    if (!core.pending()) {
        invalid_state("invalid state");
        return false;
    }
    core.result = py::Ref::borrow(result);
    finish(self, core, FutureState::finished);
    return schedule_callbacks(self, core);
}

bool future_set_exception(PyObject* self, FutureCore& core, PyObject* exception) noexcept {
    if (!core.pending()) {
        invalid_state("invalid state");
        return false;
    }
    py::Ref instance;
    if (PyExceptionClass_Check(exception)) {
        instance = py::call(exception);
        if (!instance) {
            return false;
        }
        if (!core.pending()) { // the class's constructor completed us
            invalid_state("invalid state");
            return false;
        }
    } else {
        instance = py::Ref::borrow(exception);
    }
    if (!PyExceptionInstance_Check(instance.get())) {
        py::raise_type_error("invalid exception object");
        return false;
    }
    instance = storable_exception(std::move(instance));
    if (!instance) {
        return false;
    }
    py::Ref traceback = py::Ref::steal(PyException_GetTraceback(instance.get()));
    if (traceback) {
        FutureExtras* extras = core.need_extras();
        if (extras == nullptr) {
            return false;
        }
        extras->exception_traceback = std::move(traceback);
    }
    core.exception = std::move(instance);
    finish(self, core, FutureState::finished);
    if (!schedule_callbacks(self, core)) {
        return false;
    }
    core.log_traceback = true;
    return true;
}

int future_cancel(PyObject* self, FutureCore& core, PyObject* message) noexcept {
    core.log_traceback = false;
    if (!core.pending()) {
        return 0;
    }
    if (message != nullptr && message != Py_None) {
        FutureExtras* extras = core.need_extras();
        if (extras == nullptr) {
            return -1;
        }
        extras->cancel_message = py::Ref::borrow(message);
    } else if (core.extras != nullptr) {
        core.extras->cancel_message = py::Ref::borrow(message);
    }
    finish(self, core, FutureState::cancelled);
    return schedule_callbacks(self, core) ? 1 : -1;
}

py::Ref make_cancelled_error(FutureCore& core) noexcept {
    if (core.extras != nullptr && core.extras->cancelled_error) {
        return std::move(core.extras->cancelled_error);
    }
    PyObject* type = py::state().cancelled_error;
    if (core.extras == nullptr || !core.extras->cancel_message ||
        core.extras->cancel_message.get() == Py_None) {
        return py::call(type);
    }
    const py::Ref message = core.extras->cancel_message.clone();
    return py::call(type, message.get());
}

py::Ref future_result(PyObject*, FutureCore& core) noexcept {
    if (core.state == FutureState::cancelled) {
        py::Ref error = make_cancelled_error(core);
        if (error) {
            py::raise(std::move(error));
        }
        return {};
    }
    if (core.pending()) {
        invalid_state("Result is not set.");
        return {};
    }
    core.log_traceback = false;
    if (!core.exception) [[likely]] {
        return core.result.clone();
    }
    py::Ref exception = core.exception.clone();
    // The traceback as it was when the exception was set; dropped after the first look, so that
    // frames are not kept alive.
    py::Ref traceback =
        core.extras == nullptr ? py::Ref() : std::move(core.extras->exception_traceback);
    if (PyException_SetTraceback(exception.get(), traceback ? traceback.get() : Py_None) < 0) {
        return {};
    }
    py::raise(std::move(exception));
    return {};
}

void report_unretrieved(PyObject* self, FutureCore& core) noexcept {
    if (!core.log_traceback) {
        return;
    }
    core.log_traceback = false;
    const py::ErrorScope keep;
    const py::Names& names = py::names();
    py::Ref type_name = py::Ref::steal(
        PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(self)), names.__name__));
    py::Ref message = type_name ? py::Ref::steal(PyUnicode_FromFormat(
                                      "%S exception was never retrieved", type_name.get()))
                                : py::Ref();
    if (!report_to_loop(core.loop.get(), std::move(message),
                        {{names.exception, core.exception.get()},
                         {names.future, self},
                         {names.source_traceback, core.source_traceback()}})) {
        PyErr_WriteUnraisable(self);
    }
}

int visit_future(const FutureCore& core, visitproc visit, void* arg) noexcept {
    for (const py::Ref* ref :
         {&core.loop, &core.result, &core.exception, &core.callback, &core.callback_context}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    if (core.extras == nullptr) {
        return 0;
    }
    for (const py::Ref* ref :
         {&core.extras->cancel_message, &core.extras->thrown_message, &core.extras->cancelled_error,
          &core.extras->exception_traceback, &core.extras->source_traceback}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    for (const Callback& callback : core.extras->more_callbacks) {
        if (const int stop = callback.target.visit(visit, arg); stop != 0) {
            return stop;
        }
        if (const int stop = callback.context.visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void clear_future(FutureCore& core) noexcept {
    FutureExtras* extras = std::exchange(core.extras, nullptr);
    core.loop.reset();
    core.result.reset();
    core.exception.reset();
    core.callback.reset();
    core.callback_context.reset();
    delete extras;
}

} // namespace bucle::core
