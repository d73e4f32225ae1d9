// The state of the module in one interpreter: names, imports and our own types. No C++ static holds
// a Python object; a static holds at most the address of a State. With one interpreter, state() is
// one load; with several it looks the calling thread's interpreter up. A State is never freed: an
// object that outlives the module's teardown must still find its types and names.
#pragma once

#include "py/block_pool.hpp"
#include "py/names.hpp"

#include <atomic>

namespace bucle::py {

// Functions of _asyncio itself (upstream's tests re-bind the names in asyncio.tasks, never those).
// Null where the running version has none.
struct AsyncioFunctions {
    PyObject* enter_task = nullptr;
    PyObject* leave_task = nullptr;
    PyObject* swap_current_task = nullptr;
    PyObject* register_task = nullptr;
    PyObject* unregister_task = nullptr;
    PyObject* current_task = nullptr;
    PyObject* add_awaited_by = nullptr;
    PyObject* discard_awaited_by = nullptr;
    PyObject* current_tasks = nullptr; // the dict, up to 3.13
};

// How the installed asyncio's loop.create_task() treats its keywords; it changed within 3.13.
enum class CreateTaskRules {
    two_keywords,   // name, context; the factory gets the context, the name is set afterwards
    more_keywords,  // the same, and others are passed on
    all_to_factory, // whatever is given goes to the factory or to Task
};

// What the installed asyncio's Timeout and wait_for do; see combine/timeout.cpp, wait_for.cpp.
struct TimeoutRules {
    bool counts_requests = false;      // to cancel at the start, and names the cause; from 3.11.3
    bool checks_entry = false;         // that it is entered once; from 3.11.7
    bool takes_subclasses = false;     // of CancelledError
    bool inserts_error = false;        // a TimeoutError into the context of other errors
    bool wait_for_uses_timeout = true; // before 3.12 it has a task and a waiter of its own
    bool cancel_leaves_edge = false;   // in the call graph, while wait_for waits for the end
};

// What the installed asyncio's TaskGroup does; see combine/task_group.hpp.
struct TaskGroupRules {
    bool closes_refused = false;     // create_task() closes a coroutine that it refuses
    bool names_afterwards = false;   // through tasks._set_task_name()
    bool sees_done_at_once = false;  // the task of an eager factory that is done when it is made
    bool cancels_late = false;       // a task made while the group was being cancelled
    bool adds_edges = false;         // to the call graph
    bool takes_subclasses = false;   // of CancelledError
    bool uncancels_late = false;     // after the tasks are done
    bool keeps_outer_cancel = false; // one that came while the group was cancelling
    bool forgets = false;            // parent and errors, at the end
    bool passes_generator_exit = false;
    bool said_been_already = false; // "has been already entered", up to 3.11.6
    bool suppresses = false;        // what is left of a cancellation, as of cancel()
};

// What the installed asyncio's combinators do; it changed within minor series, too.
struct CombineRules {
    bool gather_settles_at_once = false; // by children that are done when it is called
    bool gather_asks_for_loop = false;   // for the one that runs; else the first child's is taken
    bool awaits_are_recorded = false;    // they keep the graph of who awaits whom
    bool shield_marks_retrieved = false; // an exception after it was cancelled...
    bool shield_tells = false;           // ... or tells the loop's handler of it
    bool as_completed_is_async = false;  // its iterator is an asynchronous one, too
    bool slot_is_given_back = false;     // by an awaiting of its that failed
};

// What the installed asyncio's streams do; see streams/protocol.cpp, reading.cpp.
struct StreamRules {
    bool takes_tuples = false;     // readuntil(): of separators
    bool keeps_writer = false;     // the protocol of a server's connection
    bool catches_callback = false; // what client_connected_cb itself raises
    bool closes_cancelled = false; // the transport of a client task that was cancelled
};

struct State {
    Names names;
    AsyncioFunctions asyncio;

    // asyncio's own classes, our bases
    PyTypeObject* base_future = nullptr;
    PyTypeObject* base_task = nullptr;
    PyObject* base_handle = nullptr;
    PyObject* base_timer_handle = nullptr;
    PyObject* base_threadsafe_handle = nullptr; // null before 3.14
    PyObject* base_loop = nullptr;
    PyObject* buffered_protocol = nullptr;
    PyObject* transport_socket = nullptr;    // asyncio.trsock.TransportSocket
    PyObject* socket_class = nullptr;        // socket.socket
    PyTypeObject* raw_socket_type = nullptr; // _socket.socket, the base of it
    PyCFunction socket_fileno = nullptr;     // behind socket.fileno(), net/python_socket.cpp

    // exceptions
    PyObject* cancelled_error = nullptr;
    PyObject* invalid_state_error = nullptr;
    PyObject* queue_empty = nullptr;
    PyObject* queue_full = nullptr;
    PyObject* queue_shut_down = nullptr; // our own where asyncio has none: sync/queue_types.cpp

    // functions, called on cold paths unless said otherwise
    PyObject* get_event_loop = nullptr;
    PyObject* set_running_loop = nullptr;     // asyncio._set_running_loop, C
    PyObject* running_loop_or_none = nullptr; // asyncio._get_running_loop, C
    PyObject* iscoroutine = nullptr;
    PyObject* iscoroutinefunction = nullptr;
    PyObject* future_repr = nullptr;
    PyObject* task_repr = nullptr;
    PyObject* task_get_stack = nullptr;
    PyObject* task_print_stack = nullptr;
    PyObject* traceback_extract_stack = nullptr;
    PyObject* extract_stack = nullptr;          // asyncio.format_helpers
    PyObject* format_callback_source = nullptr; // asyncio.format_helpers
    PyObject* format_handle = nullptr;          // asyncio.base_events
    PyObject* run_until_complete_cb = nullptr;  // asyncio.base_events
    PyObject* ensure_future = nullptr;
    PyObject* isfuture = nullptr;
    PyObject* chain_future = nullptr; // asyncio.futures, as the next three
    PyObject* wrap_future = nullptr;
    PyObject* copy_future_state = nullptr;           // to a loop's future
    PyObject* set_concurrent_future_state = nullptr; // to a concurrent one
    PyObject* concurrent_finished = nullptr;         // the state FINISHED
    PyTypeObject* concurrent_future = nullptr;       // concurrent.futures.Future
    PyObject* base_events = nullptr;                 // the module: its logger can be replaced
    PyObject* warn = nullptr;
    PyObject* set_wakeup_fd = nullptr;
    PyObject* get_asyncgen_hooks = nullptr;
    PyObject* set_asyncgen_hooks = nullptr;
    PyObject* get_origin_depth = nullptr;
    PyObject* set_origin_depth = nullptr;
    PyObject* debug_stack_depth = nullptr;
    PyObject* main_thread = nullptr; // threading.main_thread
    PyObject* is_debug_mode = nullptr;
    PyObject* signal_dispatcher = nullptr; // given by set_signal_dispatcher()
    PyObject* connection_socket = nullptr; // the class given by set_connection_socket()
    PyObject* await_anything = nullptr;    // bucle._twins
    PyObject* zero = nullptr;              // the int
    PyObject* deque = nullptr;             // collections.deque
    PyObject* functools_partial = nullptr;
    PyObject* heappush = nullptr;
    PyObject* heappop = nullptr;
    PyObject* incomplete_read_error = nullptr;
    PyObject* limit_overrun_error = nullptr;

    // our types
    PyTypeObject* meta = nullptr;
    PyTypeObject* future_type = nullptr;
    PyTypeObject* task_type = nullptr;
    PyTypeObject* future_iter_type = nullptr;
    PyTypeObject* handle_type = nullptr;
    PyTypeObject* timer_handle_type = nullptr;
    PyTypeObject* threadsafe_handle_type = nullptr;
    PyTypeObject* loop_type = nullptr;
    PyTypeObject* function_type = nullptr;
    PyTypeObject* coroutine_type = nullptr;
    PyTypeObject* coroutine_wrapper_type = nullptr;
    PyTypeObject* observer_type = nullptr;
    PyTypeObject* readiness_type = nullptr;
    PyTypeObject* handover_type = nullptr;
    PyTypeObject* lock_type = nullptr;
    PyTypeObject* event_type = nullptr;
    PyTypeObject* condition_type = nullptr;
    PyTypeObject* semaphore_type = nullptr;
    PyTypeObject* bounded_semaphore_type = nullptr;
    PyTypeObject* barrier_type = nullptr;
    PyTypeObject* queue_type = nullptr;
    PyTypeObject* lifo_queue_type = nullptr;
    PyTypeObject* priority_queue_type = nullptr;
    PyTypeObject* gathering_future_type = nullptr;
    PyTypeObject* as_completed_type = nullptr;
    PyTypeObject* wait_type = nullptr;
    PyTypeObject* shield_type = nullptr;
    PyTypeObject* timeout_type = nullptr;
    PyTypeObject* task_group_type = nullptr;
    PyTypeObject* socket_transport_type = nullptr;
    PyTypeObject* listener_type = nullptr;
    PyTypeObject* stream_reader_type = nullptr;
    PyTypeObject* stream_writer_type = nullptr;
    PyTypeObject* stream_protocol_type = nullptr;
    PyTypeObject* datagram_type = nullptr;
    PyTypeObject* read_pipe_type = nullptr;
    PyTypeObject* write_pipe_type = nullptr;

    // Which stock class's instances pass for instances of a native class: see TypeRecipe.
    static constexpr int kMaxTwins = 32;
    struct Twin {
        PyTypeObject* native = nullptr;
        PyTypeObject* stock = nullptr;
    };
    Twin twins[kMaxTwins + 1];

    // Which native protocols a transport feeds without a method call: see net/sink.hpp.
    static constexpr int kMaxSinks = 4;
    struct SinkRow {
        PyTypeObject* type = nullptr;
        const void* sink = nullptr;
    };
    SinkRow sinks[kMaxSinks + 1];

    // memory of dead objects of exactly these types
    BlockPool future_blocks;
    BlockPool task_blocks;
    BlockPool iterator_blocks;
    BlockPool coroutine_blocks;
    HandleBlocks handle_blocks;
    HandleBlocks threadsafe_handle_blocks;

    void* live_tasks = nullptr; // core/task_registry.cpp: the list of native tasks up to 3.13
    void* live_loops = nullptr; // loop/loop_type.cpp
    PyObject* native_loop_methods = nullptr; // loop/overrides.cpp: name to descriptor
    void* sockets = nullptr;                 // net/plain_socket.cpp
    void* literals = nullptr;                // net/getaddrinfo.cpp
    PyObject* empty_context = nullptr;       // see abi::mirror_context
    PyObject* lent_stop = nullptr;           // py/lent_stop.cpp
    bool stop_is_lent = false;
    std::uint64_t task_counter = 0;
    CreateTaskRules create_task_rules = CreateTaskRules::two_keywords;
    PyObject* set_unless_cancelled = nullptr; // combine/sleep.cpp
    void* queue_hooks = nullptr;              // sync/queue_hooks.cpp
    void* reader_hooks = nullptr;             // streams/hooks.cpp
    PyObject* newline = nullptr;              // streams/reading.cpp: b"\n"
    PyObject* writer_del = nullptr;           // asyncio's StreamWriter.__del__, or null
    PyObject* broken_barrier_error = nullptr; // sync/barrier.cpp, as the next
    PyObject* barrier_states[4] = {};
    PyObject* wait_for_one = nullptr;   // combine/as_completed.cpp
    PyObject* timeout_expire = nullptr; // combine/timeout.cpp: Timeout._on_timeout
    PyObject* release_waiter = nullptr; // combine/wait_for.cpp
    PyObject* cancel_and_wait = nullptr;
    // What the installed asyncio does: see py/function.
    CombineRules combine;
    TimeoutRules timeout_rules;
    TaskGroupRules task_group_rules;
    StreamRules stream_rules;
    std::size_t datagram_header = 0; // what each waiting datagram counts beside its size
    bool datagrams_may_be_empty = false;
    bool sleep_refuses_nan = false;
    bool condition_passes_on = false;         // sync/condition.cpp
    bool semaphore_wakes_all = false;         // sync/semaphore.cpp
    bool callback_source_takes_debug = false; // _format_callback_source(..., debug=)
    bool server_knows_transports = false;     // Server._attach(transport)
    bool writelines_skips_empty = false;      // whatever is not true
    bool watching_takes_context = false;      // loop._add_reader(..., context=)
    bool chains_in_running_loop = false;      // core/handover.cpp: without a turn, there
};

namespace detail {
extern std::atomic<State*> sole_state;
State* find_state() noexcept;
} // namespace detail

inline State& state() noexcept {
    State* sole = detail::sole_state.load(std::memory_order_relaxed);
    if (sole != nullptr) [[likely]] {
        return *sole;
    }
    return *detail::find_state();
}

inline const Names& names() noexcept {
    return state().names;
}

// Makes the calling interpreter's State (once) and fills what can be imported. Null with an error.
[[nodiscard]] State* make_state() noexcept;

} // namespace bucle::py
