// What goes to other threads and comes from them: wrap_future, to_thread and
// run_coroutine_threadsafe. The outcomes change hands in core/handover.
#include "combine/child.hpp"
#include "combine/combine.hpp"

#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "core/handover.hpp"
#include "core/observer.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

// Without a loop, given or running, the twin finds one as its version does.
PyObject* wrap_future(py::Function& function, PyObject* const* args) noexcept {
    const int wrapped = core::is_any_future(args[0]);
    if (wrapped != 0) {
        return wrapped > 0 ? py::new_ref(args[0]) : nullptr;
    }
    const int concurrent = core::is_concurrent_future(args[0]);
    const py::Ref loop = args[1] == Py_None ? py::abi::running_loop() : py::Ref::borrow(args[1]);
    if (concurrent < 0 || (!loop && PyErr_Occurred() != nullptr)) {
        return nullptr;
    }
    if (concurrent == 0 || !loop) {
        const py::Ref keywords = py::Ref::steal(PyTuple_Pack(1, py::names().loop));
        return keywords ? PyObject_Vectorcall(function.twin, args, 1, keywords.get()) : nullptr;
    }
    py::Ref made = py::call_method(loop.get(), py::names().create_future);
    return made && core::chain_concurrent(args[0], made.get()) ? made.release() : nullptr;
}

enum Stage : std::uint8_t { kStart, kWaited };

// functools.partial(contextvars.copy_context().run, func, *args, **kwargs)
py::Ref call_in_context(const core::Coroutine& co) noexcept {
    PyObject* const args = co.arguments[1].get();
    const py::Ref context = py::Ref::steal(PyContext_CopyCurrent());
    const py::Ref run =
        context ? py::Ref::steal(PyObject_GetAttrString(context.get(), "run")) : py::Ref();
    const Py_ssize_t count = PyTuple_GET_SIZE(args);
    const py::Ref all = run ? py::Ref::steal(PyTuple_New(count + 2)) : py::Ref();
    if (!all) {
        return {};
    }
    PyTuple_SET_ITEM(all.get(), 0, run.clone().release());
    PyTuple_SET_ITEM(all.get(), 1, co.arguments[0].clone().release());
    for (Py_ssize_t i = 0; i != count; ++i) {
        PyTuple_SET_ITEM(all.get(), i + 2, py::new_ref(PyTuple_GET_ITEM(args, i)));
    }
    return py::Ref::steal(
        PyObject_Call(py::state().functools_partial, all.get(), co.arguments[2].get()));
}

core::Step to_thread(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (co.stage != kStart) {
        return error ? core::fail_with(std::move(error))
                     : core::finish_with(result, std::move(value));
    }
    const py::Ref loop = py::abi::require_running_loop();
    const py::Ref call = loop ? call_in_context(co) : py::Ref();
    const py::Ref future =
        call ? py::call_method(loop.get(), py::names().run_in_executor, Py_None, call.get())
             : py::Ref();
    return future ? co.wait(core::awaitable_of(future.get()), kWaited) : core::Step::fail;
}

// In the loop: `work` is the coroutine and the loop, `future` the concurrent future.
bool start(PyObject* work, PyObject* future) noexcept {
    const py::Ref task = ensure_future(PyTuple_GET_ITEM(work, 0), PyTuple_GET_ITEM(work, 1));
    if (task && core::chain_to_concurrent(task.get(), future)) {
        return true;
    }
    if (py::exit_exception_raised()) {
        return false;
    }
    py::Ref error = py::compat::take_exception();
    const py::Names& names = py::names();
    const int wanted = py::truth_of(py::call_method(future, names.set_running_or_notify_cancel));
    if (wanted < 0 || (wanted > 0 && !py::call_method(future, names.set_exception, error.get()))) {
        py::raise_chained(py::compat::take_exception(), std::move(error));
        return false;
    }
    py::compat::put_exception(std::move(error));
    return false;
}

PyObject* run_coroutine_threadsafe(py::Function&, PyObject* const* args) noexcept {
    const int coroutine = is_coroutine(args[0]);
    if (coroutine <= 0) {
        return coroutine < 0 ? nullptr : py::raise_type_error("A coroutine object is required");
    }
    py::Ref future = py::call(reinterpret_cast<PyObject*>(py::state().concurrent_future));
    const py::Ref work = future ? py::Ref::steal(PyTuple_Pack(2, args[0], args[1])) : py::Ref();
    const py::Ref callback =
        work ? core::make_observer(work.get(), start, "run_coroutine_threadsafe.<locals>.callback")
             : py::Ref();
    return callback && py::call_method(args[1], py::names().call_soon_threadsafe, callback.get(),
                                       future.get())
               ? future.release()
               : nullptr;
}

} // namespace

bool add_threads(PyObject* module) noexcept {
    static const py::FunctionRow kFutures[] = {{"wrap_future", wrap_future}, {nullptr, nullptr}};
    static const py::FunctionRow kThreads[] = {core::async_row("to_thread", to_thread),
                                               {nullptr, nullptr}};
    static const py::FunctionRow kTasks[] = {{"run_coroutine_threadsafe", run_coroutine_threadsafe},
                                             {nullptr, nullptr}};
    return py::add_module_functions(module, "asyncio.futures", kFutures) &&
           py::add_module_functions(module, "asyncio.threads", kThreads) &&
           py::add_module_functions(module, "asyncio.tasks", kTasks);
}

} // namespace bucle::combine
