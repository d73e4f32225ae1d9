// run_in_executor: work for other threads. The executors are concurrent.futures' own, or whatever
// a user gave; native is what is between the call and submit(), and the way back
// (core/handover.hpp). The default executor stands in a field, so that its being set makes no dict
// for the loop.
#include "loop/loop.hpp"

#include "core/handover.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::loop {
namespace {

// concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
py::Ref make_default_executor() noexcept {
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("concurrent.futures"));
    const py::Ref type =
        module ? py::Ref::steal(PyObject_GetAttrString(module.get(), "ThreadPoolExecutor"))
               : py::Ref();
    const py::Ref none = type ? py::Ref::steal(PyTuple_New(0)) : py::Ref();
    const py::Ref keywords =
        none ? py::Ref::steal(Py_BuildValue("{s:s}", "thread_name_prefix", "asyncio")) : py::Ref();
    return keywords ? py::Ref::steal(PyObject_Call(type.get(), none.get(), keywords.get()))
                    : py::Ref();
}

// The loop's own: made when it is first needed.
py::Ref default_executor(LoopCore& core) noexcept {
    if (core.executor_shut_down) {
        py::raise_runtime_error("Executor shutdown has been called");
        return {};
    }
    if (!core.default_executor) {
        py::Ref made = make_default_executor();
        if (!made) {
            return {};
        }
        core.default_executor = std::move(made);
    }
    return core.default_executor.clone();
}

// executor.submit(func, *args)
py::Ref submit(PyObject* executor, const py::CallbackArgs& given) noexcept {
    py::ArgStack stack;
    if (!stack.add(executor) || !stack.add(given.args + 1, given.nargs - 1)) {
        return {};
    }
    return py::Ref::steal(
        PyObject_VectorcallMethod(py::names().submit, stack.data(), stack.size(), nullptr));
}

// futures.wrap_future(future, loop=self): what is no concurrent future is asyncio's to judge.
py::Ref wrap(PyObject* self, PyObject* future) noexcept {
    const int concurrent = core::is_concurrent_future(future);
    if (concurrent < 0) {
        return {};
    }
    if (concurrent == 0) {
        const py::Ref keywords = py::Ref::steal(PyTuple_Pack(1, py::names().loop));
        PyObject* const stack[] = {future, self};
        return keywords ? py::Ref::steal(PyObject_Vectorcall(py::state().wrap_future, stack, 1,
                                                             keywords.get()))
                        : py::Ref();
    }
    py::Ref made = py::call_method(self, py::names().create_future);
    return made && core::chain_concurrent(future, made.get()) ? std::move(made) : py::Ref();
}

PyObject* run_in_executor(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                          PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"executor", "func", nullptr};
    constexpr const char* kMethod = "run_in_executor";
    py::CallbackArgs given;
    if (!py::sort_callback_args(kMethod, kNames, args, nargs, kwnames, given, false)) {
        return nullptr;
    }
    LoopCore& core = *loop_core(self);
    if (!core::check_closed(core) ||
        (core.debug() && !core::check_callback(given.args[1], kMethod))) {
        return nullptr;
    }
    const py::Ref executor =
        given.args[0] == Py_None ? default_executor(core) : py::Ref::borrow(given.args[0]);
    const py::Ref future = executor ? submit(executor.get(), given) : py::Ref();
    return future ? wrap(self, future.get()).release() : nullptr;
}

PyObject* get_executor(PyObject* self, void*) noexcept {
    return py::value_or_none(loop_core(self)->default_executor.get());
}

int set_executor(PyObject* self, PyObject* value, void*) noexcept {
    loop_core(self)->default_executor =
        value == nullptr || value == Py_None ? py::Ref() : py::Ref::borrow(value);
    return 0;
}

PyObject* get_shut_down(PyObject* self, void*) noexcept {
    return PyBool_FromLong(loop_core(self)->executor_shut_down);
}

int set_shut_down(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    loop_core(self)->executor_shut_down = truth > 0;
    return truth < 0 ? -1 : 0;
}

} // namespace

PyMethodDef executor_methods[] = {
    {"run_in_executor", py::as_method(run_in_executor), METH_FASTCALL | METH_KEYWORDS,
     "run_in_executor($self, /, executor, func, *args)\n--\n\n"
     "Call the function in an executor, the loop's own where that is None; return a future."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef executor_getset[] = {
    {"_default_executor", get_executor, set_executor, nullptr, nullptr},
    {"_executor_shutdown_called", get_shut_down, set_shut_down, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace bucle::loop
