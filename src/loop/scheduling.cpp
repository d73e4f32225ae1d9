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
    py::CallbackArgs given;
    if (nargs == 0 || kwnames != nullptr) {
        static constexpr const char* kNames[] = {"callback", nullptr};
        if (!py::sort_callback_args(kMethod, kNames, args, nargs, kwnames, given)) {
            return nullptr;
        }
        args = given.args;
        nargs = given.nargs;
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
    py::Ref context = given.context == nullptr || given.context == Py_None
                          ? core::copy_current_context(failed)
                          : py::Ref::borrow(given.context);
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

PyMethodDef scheduling_methods[] = {
    {"call_soon", py::as_method(schedule<From::loop_thread>), METH_FASTCALL | METH_KEYWORDS,
     "call_soon($self, /, callback, *args, context=None)\n--\n\n"
     "Call the callback at the next turn of the loop."},
    {"call_soon_threadsafe", py::as_method(schedule<From::any_thread>),
     METH_FASTCALL | METH_KEYWORDS,
     "call_soon_threadsafe($self, /, callback, *args, context=None)\n--\n\n"
     "call_soon() for other threads and for signal handlers."},
    {"call_later", py::as_method(call_later), METH_FASTCALL | METH_KEYWORDS,
     "call_later($self, /, delay, callback, *args, context=None)\n--\n\n"
     "Call the callback after so many seconds."},
    {"call_at", py::as_method(call_at), METH_FASTCALL | METH_KEYWORDS,
     "call_at($self, /, when, callback, *args, context=None)\n--\n\n"
     "Call the callback when the loop's time has come to `when`."},
    {"_timer_handle_cancelled", timer_handle_cancelled, METH_O,
     "_timer_handle_cancelled($self, handle, /)\n--\n\n"
     "Note that a timer of the loop was cancelled."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace bucle::loop
