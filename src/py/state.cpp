// See state.hpp. The registry of States is touched at import and, with several interpreters, on a
// look-up; a mutex guards it because interpreters may have a GIL each.
#include "py/state.hpp"

#include "py/call.hpp"
#include "py/compat.hpp"

#include <map>
#include <memory>
#include <mutex>

namespace bucle::py {

bool Names::intern() noexcept {
#define BUCLE_INTERN(name)                                                                         \
    if ((name = PyUnicode_InternFromString(#name)) == nullptr) {                                   \
        return false;                                                                              \
    }
    BUCLE_NAMES(BUCLE_INTERN)
#undef BUCLE_INTERN
    throw_ = PyUnicode_InternFromString("throw");
    kw_context = PyTuple_Pack(1, context);
    kw_msg = PyTuple_Pack(1, msg);
    kw_source = PyTuple_Pack(1, source);
    return kw_context != nullptr && kw_msg != nullptr && kw_source != nullptr;
}

namespace detail {

std::atomic<State*> sole_state{nullptr};

namespace {
std::mutex registry_mutex;
std::map<std::int64_t, State*>& registry() {
    static std::map<std::int64_t, State*> states;
    return states;
}
} // namespace

State* find_state() noexcept {
    const std::int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    thread_local std::int64_t cached_id = -1;
    thread_local State* cached = nullptr;
    if (cached_id != id) {
        const std::lock_guard lock(registry_mutex);
        const auto found = registry().find(id);
        cached = found == registry().end() ? nullptr : found->second;
        cached_id = cached == nullptr ? -1 : id;
    }
    return cached;
}

} // namespace detail

namespace {

struct Import {
    const char* module;
    const char* name;
    PyObject* State::* slot;
};

constexpr Import kImports[] = {
    {"asyncio.events", "Handle", &State::base_handle},
    {"asyncio.events", "TimerHandle", &State::base_timer_handle},
    {"asyncio.events", "AbstractEventLoop", &State::base_loop},
    {"asyncio.exceptions", "CancelledError", &State::cancelled_error},
    {"asyncio.exceptions", "InvalidStateError", &State::invalid_state_error},
    {"asyncio.exceptions", "BrokenBarrierError", &State::broken_barrier_error},
    {"asyncio.events", "get_event_loop", &State::get_event_loop},
    {"asyncio.events", "_set_running_loop", &State::set_running_loop},
    {"asyncio.events", "_get_running_loop", &State::running_loop_or_none},
    {"asyncio.coroutines", "iscoroutine", &State::iscoroutine},
    {"asyncio.coroutines", "_is_debug_mode", &State::is_debug_mode},
    {"asyncio.base_futures", "_future_repr", &State::future_repr},
    {"asyncio.base_tasks", "_task_repr", &State::task_repr},
    {"asyncio.base_tasks", "_task_get_stack", &State::task_get_stack},
    {"asyncio.base_tasks", "_task_print_stack", &State::task_print_stack},
    {"traceback", "extract_stack", &State::traceback_extract_stack},
    {"asyncio.format_helpers", "extract_stack", &State::extract_stack},
    {"asyncio.format_helpers", "_format_callback_source", &State::format_callback_source},
    {"asyncio.base_events", "_format_handle", &State::format_handle},
    {"asyncio.base_events", "_run_until_complete_cb", &State::run_until_complete_cb},
    {"asyncio.tasks", "ensure_future", &State::ensure_future},
    {"asyncio.futures", "isfuture", &State::isfuture},
    {"asyncio.futures", "_chain_future", &State::chain_future},
    {"asyncio.futures", "wrap_future", &State::wrap_future},
    {"asyncio.futures", "_copy_future_state", &State::copy_future_state},
    {"asyncio.futures", "_set_concurrent_future_state", &State::set_concurrent_future_state},
    {"concurrent.futures._base", "FINISHED", &State::concurrent_finished},
    {"warnings", "warn", &State::warn},
    {"signal", "set_wakeup_fd", &State::set_wakeup_fd},
    {"sys", "get_asyncgen_hooks", &State::get_asyncgen_hooks},
    {"sys", "set_asyncgen_hooks", &State::set_asyncgen_hooks},
    {"sys", "get_coroutine_origin_tracking_depth", &State::get_origin_depth},
    {"sys", "set_coroutine_origin_tracking_depth", &State::set_origin_depth},
    {"asyncio.constants", "DEBUG_STACK_DEPTH", &State::debug_stack_depth},
    {"threading", "main_thread", &State::main_thread},
    {"bucle._twins", "await_anything", &State::await_anything},
    {"collections", "deque", &State::deque},
    {"functools", "partial", &State::functools_partial},
    {"asyncio.protocols", "BufferedProtocol", &State::buffered_protocol},
    {"asyncio.trsock", "TransportSocket", &State::transport_socket},
    {"socket", "socket", &State::socket_class},
    {"asyncio.queues", "QueueEmpty", &State::queue_empty},
    {"asyncio.queues", "QueueFull", &State::queue_full},
    {"heapq", "heappush", &State::heappush},
    {"heapq", "heappop", &State::heappop},
    {"asyncio.exceptions", "IncompleteReadError", &State::incomplete_read_error},
    {"asyncio.exceptions", "LimitOverrunError", &State::limit_overrun_error},
};

Ref import_attribute(const char* module_name, const char* name) noexcept {
    Ref module = Ref::steal(PyImport_ImportModule(module_name));
    if (!module) {
        return {};
    }
    return Ref::steal(PyObject_GetAttrString(module.get(), name));
}

void import_asyncio_functions(PyObject* module, AsyncioFunctions& out) noexcept {
    struct Row {
        const char* name;
        PyObject* AsyncioFunctions::* slot;
    };
    constexpr Row kRows[] = {
        {"_enter_task", &AsyncioFunctions::enter_task},
        {"_leave_task", &AsyncioFunctions::leave_task},
        {"_swap_current_task", &AsyncioFunctions::swap_current_task},
        {"_register_task", &AsyncioFunctions::register_task},
        {"_unregister_task", &AsyncioFunctions::unregister_task},
        {"current_task", &AsyncioFunctions::current_task},
        {"future_add_to_awaited_by", &AsyncioFunctions::add_awaited_by},
        {"future_discard_from_awaited_by", &AsyncioFunctions::discard_awaited_by},
        {"_current_tasks", &AsyncioFunctions::current_tasks},
    };
    for (const Row& row : kRows) {
        out.*row.slot = PyObject_GetAttrString(module, row.name);
        PyErr_Clear();
    }
}

// From 3.14 on the public name warns; asyncio's own loop uses the private one.
bool import_iscoroutinefunction(State& state) noexcept {
    Ref function = import_attribute("asyncio.coroutines", "_iscoroutinefunction");
    if (!function) {
        PyErr_Clear();
        function = import_attribute("asyncio.coroutines", "iscoroutinefunction");
    }
    state.iscoroutinefunction = function.release();
    return state.iscoroutinefunction != nullptr;
}

struct Keywords {
    long named = 0;
    bool others = false; // **kwargs
};

// What a method of the installed asyncio takes by keyword only.
Keywords keywords_of(const char* module_name, const char* type_name, const char* name) noexcept {
    Ref type = import_attribute(module_name, type_name);
    Ref method = type ? Ref::steal(PyObject_GetAttrString(type.get(), name)) : Ref();
    Ref code = method ? Ref::steal(PyObject_GetAttrString(method.get(), "__code__")) : Ref();
    Ref flags = code ? Ref::steal(PyObject_GetAttrString(code.get(), "co_flags")) : Ref();
    Ref named = flags ? Ref::steal(PyObject_GetAttrString(code.get(), "co_kwonlyargcount")) : Ref();
    Keywords found;
    if (named) {
        found.named = PyLong_AsLong(named.get());
        found.others = (PyLong_AsLong(flags.get()) & CO_VARKEYWORDS) != 0;
    }
    PyErr_Clear();
    return found;
}

CreateTaskRules find_create_task_rules() noexcept {
    const Keywords found = keywords_of("asyncio.base_events", "BaseEventLoop", "create_task");
    return !found.others      ? CreateTaskRules::two_keywords
           : found.named != 0 ? CreateTaskRules::more_keywords
                              : CreateTaskRules::all_to_factory;
}

// asyncio.Future may be re-pointed at our own type already (a re-import after install()): the C
// classes themselves stay in _asyncio.
bool import_base_types(State& state) noexcept {
    Ref future = import_attribute("_asyncio", "Future");
    Ref task = import_attribute("_asyncio", "Task");
    Ref concurrent = import_attribute("concurrent.futures._base", "Future");
    if (!future || !task || !concurrent) {
        return false;
    }
    Ref module = Ref::steal(PyImport_ImportModule("_asyncio"));
    import_asyncio_functions(module.get(), state.asyncio);
    state.base_future = reinterpret_cast<PyTypeObject*>(future.release());
    state.base_task = reinterpret_cast<PyTypeObject*>(task.release());
    state.concurrent_future = reinterpret_cast<PyTypeObject*>(concurrent.release());
    if constexpr (compat::kHasThreadSafeHandle) {
        Ref handle = import_attribute("asyncio.events", "_ThreadSafeHandle");
        if (!handle) {
            return false;
        }
        state.base_threadsafe_handle = handle.release();
    }
    return true;
}

} // namespace

State* make_state() noexcept {
    const std::int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (State* present = detail::find_state(); present != nullptr) {
        return present;
    }
    std::unique_ptr<State> state(new (std::nothrow) State);
    if (state == nullptr) {
        PyErr_NoMemory();
        return nullptr;
    }
    if (!state->names.intern() || !import_base_types(*state)) {
        return nullptr;
    }
    for (const Import& import : kImports) {
        Ref value = import_attribute(import.module, import.name);
        if (!value) {
            return nullptr;
        }
        state.get()->*import.slot = value.release();
    }
    if (!import_iscoroutinefunction(*state)) {
        return nullptr;
    }
    Ref keywords =
        Ref::steal(PyObject_GetAttrString(state->format_callback_source, "__kwdefaults__"));
    state->callback_source_takes_debug = keywords && PyDict_Check(keywords.get()) &&
                                         PyDict_GetItemString(keywords.get(), "debug") != nullptr;
    PyErr_Clear();
    state->empty_context = PyContext_New();
    state->zero = PyLong_FromLong(0);
    state->base_events = PyImport_ImportModule("asyncio.base_events");
    state->create_task_rules = find_create_task_rules();
    state->watching_takes_context =
        keywords_of("asyncio.selector_events", "BaseSelectorEventLoop", "_add_reader").named != 0;
    const std::lock_guard lock(detail::registry_mutex);
    State* kept = state.release();
    detail::registry()[id] = kept;
    detail::sole_state.store(detail::registry().size() == 1 ? kept : nullptr,
                             std::memory_order_relaxed);
    return kept;
}

} // namespace bucle::py
