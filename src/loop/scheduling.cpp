// call_soon and call_soon_threadsafe. The second is the first plus a wake-up: the ring is guarded
// by the GIL, so callbacks of both keep the order of the calls, as in asyncio, and other threads
// need no box of their own. Only a loop that is inside its poll is woken, and only once a poll.
#include "loop/loop.hpp"

#include "core/context.hpp"
#include "core/handle.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

using core::ReadyKind;

enum class From { loop_thread, any_thread };

template <From from>
PyObject* schedule(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                   PyObject* kwnames) noexcept {
    constexpr const char* kMethod =
        from == From::loop_thread ? "call_soon" : "call_soon_threadsafe";
    PyObject* given_context = nullptr;
    if (nargs == 0 || kwnames != nullptr) {
        if (!split_callback_args(kMethod, args, nargs, kwnames, 0, &given_context)) {
            return nullptr;
        }
    }
    LoopCore& core = *loop_core(self);
    if ((core.gate & ~core::Scheduler::kCallSoonOverridden) != 0) [[unlikely]] {
        if (!core::check_closed(core) ||
            (core.debug() && ((from == From::loop_thread && !core::check_thread(core)) ||
                              !core::check_callback(args[0], kMethod)))) {
            return nullptr;
        }
    }
    bool failed = false;
    py::Ref context = given_context == nullptr || given_context == Py_None
                          ? core::copy_current_context(failed)
                          : py::Ref::borrow(given_context);
    if (failed) {
        return nullptr;
    }
    py::Ref handle =
        from == From::loop_thread
            ? core::make_handle(core, args[0], args + 1, nargs - 1, context.get(), !core.running())
            : core::make_threadsafe_handle(core, args[0], args + 1, nargs - 1, context.get(),
                                           !core.running());
    if (!handle || !core::push_ready(core, ReadyKind::handle, handle.clone())) {
        return nullptr;
    }
    wake_from_thread(core);
    return handle.release();
}

} // namespace

bool split_callback_args(const char* method, PyObject* const* args, Py_ssize_t nargs,
                         PyObject* kwnames, Py_ssize_t first, PyObject** context) noexcept {
    *context = nullptr;
    if (nargs <= first) {
        PyErr_Format(PyExc_TypeError, "Loop.%s() missing %zd required positional argument%s",
                     method, first + 1 - nargs, first + 1 - nargs == 1 ? ": 'callback'" : "s");
        return false;
    }
    const Py_ssize_t keywords = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < keywords; ++i) {
        PyObject* name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(name, "context") != 0) {
            PyErr_Format(PyExc_TypeError, "Loop.%s() got an unexpected keyword argument '%U'",
                         method, name);
            return false;
        }
        *context = args[nargs + i];
    }
    return true;
}

PyMethodDef scheduling_methods[] = {
    {"call_soon", as_method(schedule<From::loop_thread>), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"call_soon_threadsafe", as_method(schedule<From::any_thread>), METH_FASTCALL | METH_KEYWORDS,
     nullptr},
    {"call_later", as_method(call_later), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"call_at", as_method(call_at), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_timer_handle_cancelled", timer_handle_cancelled, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace bucle::loop
