// ensure_future, create_task, and current_task where asyncio's own is Python code (3.11).
#include "combine/child.hpp"
#include "combine/combine.hpp"

#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/function.hpp"

namespace bucle::combine {
namespace {

PyObject* ensure_future_body(py::Function&, PyObject* const* args) noexcept {
    return ensure_future(args[0], args[1] == Py_None ? nullptr : args[1]).release();
}

bool is_known(PyObject* keyword) noexcept {
    const py::Names& names = py::names();
    return PyUnicode_Compare(keyword, names.name) == 0 ||
           PyUnicode_Compare(keyword, names.context) == 0;
}

// Whether the call can be given to loop.create_task() as it is: in the later versions any, which
// have **kwargs; in the earlier ones what they pass on themselves.
bool can_pass_on(const py::Function& function, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    if (nargs != 1) {
        return false;
    }
    const Py_ssize_t count = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* const keyword = PyTuple_GET_ITEM(kwnames, i);
        if (function.varkeywords ? PyUnicode_Compare(keyword, py::names().coro) == 0
                                 : !is_known(keyword)) {
            return false;
        }
    }
    return true;
}

// Stands in for the function's own vectorcall: nothing is sorted into places, **kwargs is no dict.
PyObject* create_task(PyObject* self, PyObject* const* args, std::size_t nargsf,
                      PyObject* kwnames) noexcept {
    const py::Function& function = py::as_function(self);
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    const py::Ref loop = py::abi::running_loop();
    if (loop && kwnames == nullptr && nargs == 1) [[likely]] {
        return py::call_method(loop.get(), py::names().create_task, args[0]).release();
    }
    const Py_ssize_t total = nargs + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames));
    constexpr Py_ssize_t kMost = 4;
    if (!loop || Py_TYPE(loop.get()) != py::state().loop_type || total > kMost ||
        !can_pass_on(function, nargs, kwnames)) {
        return PyErr_Occurred() != nullptr
                   ? nullptr
                   : PyObject_Vectorcall(function.twin, args, nargsf, kwnames);
    }
    PyObject* stack[kMost + 1] = {loop.get()};
    for (Py_ssize_t i = 0; i != total; ++i) {
        stack[i + 1] = args[i];
    }
    return PyObject_VectorcallMethod(py::names().create_task, stack, 2, kwnames);
}

PyObject* no_body(py::Function&, PyObject* const*) noexcept {
    return nullptr;
}

PyObject* current_task(py::Function&, PyObject* const* args) noexcept {
    const py::Ref loop =
        args[0] == Py_None ? py::abi::require_running_loop() : py::Ref::borrow(args[0]);
    return loop ? py::abi::current_task(loop.get()).release() : nullptr;
}

} // namespace

bool add_ensure_future(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {
        {"ensure_future", ensure_future_body}, {"create_task", no_body}, {nullptr, nullptr}};
    static const py::FunctionRow kInPython[] = {{"current_task", current_task}, {nullptr, nullptr}};
    if (!py::add_module_functions(module, "asyncio.tasks", kRows)) {
        return false;
    }
    const py::Ref function = py::Ref::steal(PyObject_GetAttrString(module, "create_task"));
    if (!function) {
        return false;
    }
    py::as_function(function.get()).vectorcall = create_task;
    return py::state().asyncio.current_task != nullptr ||
           py::add_module_functions(module, "asyncio.tasks", kInPython);
}

} // namespace bucle::combine
