// Queue, LifoQueue, PriorityQueue: their methods, and making the types. What the running version's
// asyncio lacks (shutdown came with 3.13) is there on every version, from a twin of our own; the
// private attribute that came with it is not, for subclasses that add shutdown themselves have one
// of that name.
#include "sync/queue.hpp"
#include "sync/sync.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::sync {
namespace {

using py::none_if;

PyObject* bool_or_error(int truth) noexcept {
    return truth < 0 ? nullptr : PyBool_FromLong(truth);
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    Queue& queue = queue_of(self);
    const Kind kind = exact_kind(self);
    set_maxsize(queue, args[1]);
    queue.getters.clear();
    queue.putters.clear();
    queue.unfinished = 0;
    queue.finished.forget();
    if (kind == Kind::by_name ? !py::call_method(self, py::names()._init, args[1])
                              : !init_items(queue, kind)) {
        return nullptr;
    }
    queue.is_shutdown = false;
    Py_RETURN_NONE;
}

PyObject* init_fifo(py::Function&, PyObject* const* args) noexcept {
    return none_if(init_items(queue_of(args[0]), Kind::fifo));
}

PyObject* init_list(py::Function&, PyObject* const* args) noexcept {
    return none_if(init_items(queue_of(args[0]), Kind::lifo));
}

PyObject* put_fifo_item(py::Function&, PyObject* const* args) noexcept {
    return none_if(put_fifo(args[0], args[1]));
}

PyObject* put_lifo_item(py::Function&, PyObject* const* args) noexcept {
    return none_if(put_lifo(args[0], args[1]));
}

PyObject* put_heap_item(py::Function&, PyObject* const* args) noexcept {
    return none_if(put_heap(args[0], args[1], args[2]));
}

PyObject* get_fifo_item(py::Function&, PyObject* const* args) noexcept {
    return get_fifo(args[0]).release();
}

PyObject* get_lifo_item(py::Function&, PyObject* const* args) noexcept {
    return get_lifo(args[0]).release();
}

PyObject* get_heap_item(py::Function&, PyObject* const* args) noexcept {
    return get_heap(args[0], args[1]).release();
}

PyObject* wakeup_next(py::Function&, PyObject* const* args) noexcept {
    Deque waiters;
    waiters.replace(args[1]);
    return none_if(wake_next(waiters));
}

PyObject* qsize(py::Function&, PyObject* const* args) noexcept {
    const Py_ssize_t size = count_items(args[0]);
    return size < 0 ? nullptr : PyLong_FromSsize_t(size);
}

PyObject* empty(py::Function&, PyObject* const* args) noexcept {
    return bool_or_error(has_no_items(args[0]));
}

PyObject* full(py::Function&, PyObject* const* args) noexcept {
    return answer_full(args[0]).release();
}

PyObject* put_nowait(py::Function&, PyObject* const* args) noexcept {
    return put_now(args[0], args[1]).release();
}

PyObject* get_nowait(py::Function&, PyObject* const* args) noexcept {
    return get_now(args[0]).release();
}

PyObject* task_done(py::Function&, PyObject* const* args) noexcept {
    Queue& queue = queue_of(args[0]);
    if (queue.unfinished <= 0) {
        if (!queue.maxsize) { // __init__ never ran
            return py::raise_no_attribute(args[0], "_unfinished_tasks");
        }
        return py::raise_value_error("task_done() called too many times");
    }
    return none_if(--queue.unfinished != 0 || queue.finished.set());
}

PyObject* shutdown(py::Function&, PyObject* const* args) noexcept {
    if (!queue_of(args[0]).maxsize) { // __init__ never ran
        return py::raise_no_attribute(args[0], "_getters");
    }
    const int immediate = PyObject_IsTrue(args[1]);
    return none_if(immediate >= 0 && shut_down(args[0], immediate != 0));
}

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", queue_repr},
    {"__str__", queue_str},
    {"_format", format_queue},
    {"_init", init_fifo},
    {"_put", put_fifo_item},
    {"_get", get_fifo_item},
    {"_wakeup_next", wakeup_next},
    {"qsize", qsize},
    {"empty", empty},
    {"full", full},
    {"put_nowait", put_nowait},
    {"get_nowait", get_nowait},
    {"task_done", task_done},
    {"shutdown", shutdown},
    core::async_row("put", put),
    core::async_row("get", get),
    core::async_row("join", join),
    {nullptr, nullptr},
};

const py::FunctionRow kLifoFunctions[] = {
    {"_init", init_list},
    {"_put", put_lifo_item},
    {"_get", get_lifo_item},
    {nullptr, nullptr},
};

const py::FunctionRow kPriorityFunctions[] = {
    {"_init", init_list},
    {"_put", put_heap_item},
    {"_get", get_heap_item},
    {nullptr, nullptr},
};

// QueueShutDown is asyncio's, or our own where it has none; the same for shutdown().
bool add_shutdown(PyObject* module, PyTypeObject* type) noexcept {
    const py::Ref queues = py::Ref::steal(PyImport_ImportModule("asyncio.queues"));
    py::Ref error =
        queues ? py::Ref::steal(PyObject_GetAttrString(queues.get(), "QueueShutDown")) : py::Ref();
    if (!error) {
        PyErr_Clear();
        const py::Ref twins = py::Ref::steal(PyImport_ImportModule("bucle._twins"));
        const py::Ref twin =
            twins ? py::Ref::steal(PyObject_GetAttrString(twins.get(), "shutdown")) : py::Ref();
        const py::Ref function =
            twin ? py::make_function(twin.get(), shutdown, nullptr, type) : py::Ref();
        error = py::Ref::steal(PyErr_NewExceptionWithDoc(
            "bucle.QueueShutDown", "Raised by put and get of a queue that was shut down.", nullptr,
            nullptr));
        if (!function || !error ||
            PyDict_SetItemString(type->tp_dict, "shutdown", function.get()) < 0) {
            return false;
        }
        PyType_Modified(type);
    }
    py::state().queue_shut_down = error.release();
    return PyModule_AddObjectRef(module, "QueueShutDown", py::state().queue_shut_down) == 0;
}

PyTypeObject* make_derived(PyObject* module, const char* name, const char* doc,
                           const py::FunctionRow* functions) noexcept {
    PrimitiveRecipe recipe = {name, doc, "asyncio.queues"};
    recipe.base = py::state().queue_type;
    recipe.functions = functions;
    return make_primitive<Queue>(module, recipe);
}

} // namespace

bool make_queue_types(PyObject* module) noexcept {
    py::State& state = py::state();
    PrimitiveRecipe recipe = {"bucle.Queue", "asyncio.Queue, native.", "asyncio.queues"};
    recipe.functions = kFunctions;
    const QueueTables tables =
        queue_tables(py::twin_mentions("asyncio.queues", "Queue.__init__", "_is_shutdown"));
    recipe.getset = tables.properties;
    state.queue_type = make_primitive<Queue>(module, recipe);
    if (state.queue_type == nullptr || !py::add_getset(state.queue_type, tables.attributes) ||
        !add_shutdown(module, state.queue_type)) {
        return false;
    }
    state.lifo_queue_type =
        make_derived(module, "bucle.LifoQueue", "asyncio.LifoQueue, native.", kLifoFunctions);
    state.priority_queue_type = make_derived(module, "bucle.PriorityQueue",
                                             "asyncio.PriorityQueue, native.", kPriorityFunctions);
    return state.lifo_queue_type != nullptr && state.priority_queue_type != nullptr &&
           remember_native_hooks();
}

} // namespace bucle::sync
