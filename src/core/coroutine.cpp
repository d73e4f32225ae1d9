// See coroutine.hpp. How a coroutine runs, and its life; what Python sees is in
// coroutine_methods.cpp.
#include "core/coroutine.hpp"

#include "core/awaiting.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/frames.hpp"
#include "py/lent_stop.hpp"

#include <structmember.h>

namespace bucle::core {
namespace {

Coroutine& as_coroutine(PyObject* self) noexcept {
    return *reinterpret_cast<Coroutine*>(self);
}

void release_all(Coroutine& co) noexcept {
    co.waiting.reset();
    co.kept.reset();
    for (py::Ref& argument : co.arguments) {
        argument.reset();
    }
}

// A StopIteration would look like the coroutine's return.
void convert_stop_iteration() noexcept {
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return;
    }
    py::Ref stop = py::compat::take_exception();
    py::raise_runtime_error("coroutine raised StopIteration");
    py::Ref error = py::compat::take_exception();
    if (error) {
        PyException_SetCause(error.get(), stop.clone().release());
        PyException_SetContext(error.get(), stop.release());
        py::compat::put_exception(std::move(error));
    }
}

// A future ends the chain of awaits; below anything else there may be many more.
PySendResult resume(Coroutine& co, PyObject* value, py::Ref error, PyObject** got) noexcept {
    PyObject* const waiting = co.waiting.get();
    if (is_exact_native(waiting)) [[likely]] {
        return resume_awaitable(waiting, value, std::move(error), got);
    }
    if (Py_EnterRecursiveCall(" while awaiting") != 0) {
        return PYGEN_ERROR;
    }
    const PySendResult outcome = resume_awaitable(waiting, value, std::move(error), got);
    Py_LeaveRecursiveCall();
    return outcome;
}

// What can be part of no cycle is not tracked: sleep(0) has nothing to refer to, and saves 4 %.
void track(Coroutine& co) noexcept {
    if (!co.tracked) {
        co.tracked = true;
        PyObject_GC_Track(&co);
    }
}

PySendResult run(Coroutine& co, PyObject* sent, py::Ref error, PyObject** out) noexcept {
    *out = nullptr;
    co.state = Coroutine::State::running;
    py::Ref value = error ? py::Ref() : py::none();
    for (;;) {
        if (co.waiting) {
            PyObject* got = nullptr;
            const PySendResult outcome = resume(co, sent, std::exchange(error, {}), &got);
            sent = Py_None;
            if (outcome == PYGEN_NEXT) {
                co.state = Coroutine::State::suspended;
                *out = got;
                return PYGEN_NEXT;
            }
            value = py::Ref::steal(got);
            if (outcome == PYGEN_ERROR) {
                error = py::compat::take_exception();
            }
            co.waiting.reset();
        }
        py::Ref result;
        switch (co.body(co, std::exchange(value, {}), std::exchange(error, {}), result)) {
        case Step::wait:
            track(co);
            break;
        case Step::yield:
            co.state = Coroutine::State::suspended;
            *out = py::new_ref(Py_None);
            return PYGEN_NEXT;
        case Step::finish:
            co.state = Coroutine::State::closed;
            release_all(co);
            *out = result.release();
            return PYGEN_RETURN;
        case Step::fail:
            co.state = Coroutine::State::closed;
            {
                const py::ErrorScope keep;
                release_all(co);
            }
            convert_stop_iteration();
            return PYGEN_ERROR;
        }
    }
}

PySendResult refuse(Coroutine& co) noexcept {
    if (co.state == Coroutine::State::running) {
        py::raise_value_error("coroutine already executing");
    } else {
        py::raise_runtime_error("cannot reuse already awaited coroutine");
    }
    return PYGEN_ERROR;
}

bool can_run(const Coroutine& co) noexcept {
    return co.state == Coroutine::State::created || co.state == Coroutine::State::suspended;
}

} // namespace

Step fail_after(py::Ref error) noexcept {
    py::raise_chained(py::compat::take_exception(), std::move(error));
    return Step::fail;
}

PyObject* make_coroutine(py::Function& function, PyObject* const* args) noexcept {
    py::State& state = py::state();
    auto* const made = state.coroutine_blocks.take_as<Coroutine>(state.coroutine_type);
    if (made == nullptr) {
        return nullptr;
    }
    PyObject* const self = reinterpret_cast<PyObject*>(made);
    Coroutine& co = *made;
    co.body = reinterpret_cast<Body>(function.extra);
    co.function = py::Ref::borrow(reinterpret_cast<PyObject*>(&function));
    const int count = function.positional + function.keyword_only + int{function.varargs} +
                      int{function.varkeywords};
    bool refers = false;
    for (int i = 0; i < count && i < Coroutine::kArguments; ++i) {
        co.arguments[i] = py::Ref::borrow(args[i]);
        refers |= PyType_IS_GC(Py_TYPE(args[i])) != 0;
    }
    if (const int depth = py::compat::origin_tracking_depth(); depth > 0) [[unlikely]] {
        co.origin = py::where_called(depth);
        if (!co.origin) {
            co.state = Coroutine::State::closed; // it was never anybody's
            py::drop(self);
            return nullptr;
        }
    }
    if (refers) {
        track(co);
    }
    return self;
}

PySendResult coroutine_send(PyObject* self, PyObject* value, PyObject** out) noexcept {
    Coroutine& co = as_coroutine(self);
    *out = nullptr;
    if (!can_run(co)) [[unlikely]] {
        return refuse(co);
    }
    if (value != Py_None && co.state == Coroutine::State::created) {
        py::raise_type_error("can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    return run(co, value, {}, out);
}

PySendResult coroutine_throw(PyObject* self, py::Ref error, PyObject** out) noexcept {
    Coroutine& co = as_coroutine(self);
    *out = nullptr;
    if (!can_run(co)) {
        return refuse(co);
    }
    if (co.state == Coroutine::State::created) {
        co.state = Coroutine::State::closed;
        release_all(co);
        py::compat::put_exception(std::move(error));
        if constexpr (py::compat::kStopThrownAtStartIsConverted) {
            convert_stop_iteration();
        }
        return PYGEN_ERROR;
    }
    return run(co, Py_None, std::move(error), out);
}

PyObject* coroutine_throw_method(PyObject* coroutine, PyObject* const* args,
                                 Py_ssize_t nargs) noexcept {
    py::Ref error = exception_to_throw(args, nargs);
    if (!error) {
        return nullptr;
    }
    PyObject* out = nullptr;
    const PySendResult outcome = coroutine_throw(coroutine, std::move(error), &out);
    return as_sent(outcome, out);
}

int is_coroutine(PyObject* object) noexcept {
    if (PyCoro_CheckExact(object) || is_native_coroutine(object)) [[likely]] {
        return 1;
    }
    return py::truth_of(py::call(py::state().iscoroutine, object));
}

bool coroutine_close(PyObject* self) noexcept {
    Coroutine& co = as_coroutine(self);
    switch (co.state) {
    case Coroutine::State::closed:
        return true;
    case Coroutine::State::created:
        co.state = Coroutine::State::closed;
        release_all(co);
        return true;
    case Coroutine::State::running:
        (void)refuse(co);
        return false;
    case Coroutine::State::suspended:
        break;
    }
    PyObject* out = nullptr;
    py::Ref exit = py::call(PyExc_GeneratorExit);
    if (!exit) {
        return false;
    }
    switch (coroutine_throw(self, std::move(exit), &out)) {
    case PYGEN_NEXT:
        py::drop(out);
        py::raise_runtime_error("coroutine ignored GeneratorExit");
        return false;
    case PYGEN_RETURN:
        py::drop(out);
        return true;
    case PYGEN_ERROR:
        break;
    }
    if (!PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
        return false;
    }
    PyErr_Clear();
    return true;
}

namespace {

PyObject* await(PyObject* self) noexcept {
    if (as_coroutine(self).state == Coroutine::State::suspended) {
        return py::raise_runtime_error("coroutine is being awaited already");
    }
    return py::new_ref(self);
}

PyObject* next(PyObject* self) noexcept {
    PyObject* value = nullptr;
    const PySendResult outcome = coroutine_send(self, Py_None, &value);
    if (outcome != PYGEN_RETURN) {
        return value;
    }
    const py::Ref held = py::Ref::steal(value);
    if (value != Py_None) { // an iterator that ends without an error returns None
        py::lend_stop_iteration(value);
    }
    return nullptr;
}

void finalize(PyObject* self) noexcept {
    const Coroutine& co = as_coroutine(self);
    if (!can_run(co)) {
        return;
    }
    const py::ErrorScope keep;
    if (co.state == Coroutine::State::created) {
        warn_never_awaited(self);
    } else if (!coroutine_close(self)) {
        PyErr_WriteUnraisable(self);
    }
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    const Coroutine& co = as_coroutine(self);
    for (const py::Ref* ref : {&co.function, &co.arguments[0], &co.arguments[1], &co.arguments[2],
                               &co.waiting, &co.kept, &co.origin}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    return py::visit_type(self, visit, arg);
}

int clear(PyObject* self) noexcept {
    Coroutine& co = as_coroutine(self);
    co.state = Coroutine::State::closed;
    release_all(co);
    return 0;
}

void give_back(PyObject* self, Coroutine& co) noexcept {
    if (co.weakrefs != nullptr) {
        PyObject_ClearWeakRefs(self);
    }
    co.function.reset();
    co.origin.reset();
    py::take_back_stop_iteration();
    py::state().coroutine_blocks.give(self);
}

void dealloc(PyObject* self) noexcept {
    Coroutine& co = as_coroutine(self);
    if (can_run(co) && !py::finalize_before_dealloc(self)) {
        return;
    }
    if (co.tracked) {
        PyObject_GC_UnTrack(self);
    }
    if (co.state == Coroutine::State::closed) [[likely]] {
        give_back(self, co);
        return;
    }
    Py_TRASHCAN_BEGIN(self, dealloc); // it may hold another that holds another
    release_all(co);
    give_back(self, co);
    Py_TRASHCAN_END;
}

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Coroutine, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

} // namespace

bool make_coroutine_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("A coroutine whose body is native.")},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_repr, reinterpret_cast<void*>(coroutine_repr)},
        {Py_am_await, reinterpret_cast<void*>(await)},
        {Py_am_send, reinterpret_cast<void*>(coroutine_send)},
        {Py_tp_iternext, reinterpret_cast<void*>(next)},
        {Py_tp_methods, coroutine_methods},
        {Py_tp_getset, coroutine_getset},
        {Py_tp_members, members},
        {0, nullptr},
    };
    const py::TypeRecipe recipe = {
        "bucle.coroutine", slots,   sizeof(Coroutine) - sizeof(PyObject), alignof(Coroutine),
        nullptr,           nullptr, Py_TPFLAGS_DISALLOW_INSTANTIATION};
    PyTypeObject* const type = py::make_type(module, recipe, nullptr);
    py::state().coroutine_type = type;
    return type != nullptr && hide_next(type) && py::add_methods_for(type, type, coroutine_await) &&
           make_coroutine_wrapper_type(module);
}

} // namespace bucle::core
