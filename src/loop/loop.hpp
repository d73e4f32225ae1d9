// Loop: the fields of bucle.Loop and what its files share. The Scheduler comes first: it is all
// that core knows of a loop.
//
// Invariants: everything here is touched with the GIL held, and the ready ring and the timers only
// so; while `polling` is set the loop's thread waits without the GIL, and whoever pushes work from
// another thread wakes it.
#pragma once

#include "base/growable.hpp"
#include "base/intrusive_list.hpp"
#include "base/scratch.hpp"
#include "base/timer_heap.hpp"
#include "core/scheduler.hpp"
#include "loop/epoll_set.hpp"
#include "py/args.hpp"
#include "uv/loop.hpp"

namespace bucle::loop {

using py::one_argument;

// Handles of one descriptor; null where nothing is watched.
struct Watch {
    PyObject* reader = nullptr;
    PyObject* writer = nullptr;
    PyObject* transport = nullptr; // whose descriptor it is, not owned
};

// When what a turn gathered goes out: at its end; in a callback's midst, which could tell; or, in a
// forked child, never, for it is the parent's to send.
enum class Occasion : std::uint8_t { turn_ends, callback, child };

// Something that a turn gathered and that goes out before the poll, as what was written to a
// transport does. Linked into LoopCore::flushes from the moment when there is something.
struct Flush {
    base::ListNode node;
    // Called once, unlinked. False with an error set that ends the run.
    bool (*flush)(Flush& self, Occasion occasion) noexcept = nullptr;
};

struct Metrics {
    std::uint64_t turns = 0;
    std::uint64_t polls = 0;
    std::uint64_t callbacks = 0;
    std::uint64_t timers_fired = 0;
    std::uint64_t wakeups = 0;
};

// Whose the methods are by which a coroutine of the loop's waits for a descriptor.
enum class Watching : std::uint8_t { unknown, ours, overridden };

// A run_until_complete() and its future.
struct Root {
    PyObject* future = nullptr; // held by the call
    Root* outer = nullptr;
    int run = 0;          // how many runs are outside of it
    bool waiting = false; // while another run is inside of it
};

struct LoopCore : core::Scheduler {
    base::TimerHeap<PyObject> timers;
    uv::Loop uv;
    EpollSet descriptors;
    base::Growable<Watch> watches; // by descriptor
    std::size_t watched = 0;       // descriptors with a reader or a writer
    base::IntrusiveList<Flush, &Flush::node> flushes;
    base::Scratch scratch; // for src/net

    py::Ref task_factory;
    py::Ref default_executor;
    py::Ref current_handle;            // in debug mode
    py::Ref saved_hooks;               // of asynchronous generators, while running
    base::RingQueue<core::Ready> held; // what waits for the next run: see finish_stopped_run()
    Root* root = nullptr;              // of the innermost run_until_complete()
    int runs = 0;                      // how many run, one inside another (nesting.cpp)
    int protocol_calls = 0;            // how many methods of protocols run now
    py::Ref saved_origin_depth;

    double slow_callback_duration = 0.1;
    bool stopping = false;
    bool may_nest = false; // by allow_nesting()
    bool polling = false;
    bool wake_sent = false;
    bool executor_shut_down = false;
    bool forked = false; // the descriptors are shared with a parent: renew before use
    bool time_overridden = false;
    bool call_at_overridden = false;
    bool run_forever_overridden = false;
    Watching watching = Watching::unknown;
    bool wakeup_fd_set = false; // by this run (signals.cpp)
    int signal_fd = -1;         // the wake-up pair's end that we watch
    int saved_wakeup_fd = -1;
    bool origin_tracking = false;

    // The polling budget (turn.cpp).
    unsigned turns_since_poll = 0;
    std::size_t callbacks_since_poll = 0;
    std::int64_t last_poll_ns = 0;

    Metrics metrics;
    base::ListNode node; // in the list of all live loops

    bool running() const noexcept { return thread_id != 0; }
};

inline LoopCore* loop_core(PyObject* loop) noexcept {
    return static_cast<LoopCore*>(py::own_fields<core::Scheduler>(loop, core::loop_offset));
}

// clock.cpp
std::int64_t monotonic_ns() noexcept;
bool clock_is_slow() noexcept;                  // where reading it is a system call
bool takes_long(const LoopCore& core) noexcept; // the time since the last poll: some milliseconds
double seconds_of(std::int64_t ns) noexcept;
// The order of times as an int64: keys compare as the numbers do, so that timers are ordered and
// due exactly by loop.time(), with no rounding in between. NaN comes last.
std::int64_t timer_key(double when) noexcept;
double when_of(std::int64_t key) noexcept;
// loop.time(), an overridden one included. False with an error set.
[[nodiscard]] bool now_seconds(LoopCore& core, double& out) noexcept;
[[nodiscard]] bool scheduler_now(core::Scheduler& scheduler, double& out) noexcept;

// A method of a protocol is being called: no run can nest there.
class ProtocolCall {
  public:
    explicit ProtocolCall(LoopCore& core) noexcept : core_(core) { ++core_.protocol_calls; }
    ProtocolCall(const ProtocolCall&) = delete;
    ProtocolCall& operator=(const ProtocolCall&) = delete;
    ~ProtocolCall() { --core_.protocol_calls; }

  private:
    LoopCore& core_;
};

// run.cpp
[[nodiscard]] bool check_not_running(LoopCore& core) noexcept;
PyObject* run_forever(PyObject* self, PyObject*) noexcept;
PyObject* run_until_complete(PyObject* self, PyObject* future) noexcept;
[[nodiscard]] bool set_origin_tracking(LoopCore& core, bool enabled) noexcept;
// What the last callbacks wrote goes out now: there may never be another run. False with an error
// set that ends the run, of which the first is kept.
[[nodiscard]] bool flush_at_end(LoopCore& core, bool ok) noexcept;

// nesting.cpp
extern PyGetSetDef nesting_getset[];
// Whether a run may begin, nested where the loop runs already; else the error is set.
[[nodiscard]] bool check_may_run(LoopCore& core) noexcept;
[[nodiscard]] bool check_awaitable(LoopCore& core, PyObject* future) noexcept; // by a nested run
[[nodiscard]] bool run_nested(LoopCore& core) noexcept; // turns until stop(), inside another run
// Takes the end of a run that a future's completion has queued out of the ring. False: it failed.
[[nodiscard]] bool drop_queued_end(LoopCore& core, PyObject* future) noexcept;

// turn.cpp: turns until stop(). False with an error set.
[[nodiscard]] bool run_turns(LoopCore& core) noexcept;
[[nodiscard]] bool flush_all(LoopCore& core, Occasion occasion) noexcept; // what is gathered now
[[nodiscard]] bool flush_running() noexcept; // of this thread's loop, if it is ours, in a callback
[[nodiscard]] bool release_held(LoopCore& core) noexcept; // what waited for the next run is ready
void track_queued_handles(LoopCore& core) noexcept;       // at the end of a run

// poll.cpp
[[nodiscard]] bool poll(LoopCore& core, bool block) noexcept;
// All at once, with the wake-up, before the first is watched: which numbers are taken is then known
// to a program that closes what is not its own. False with an error set.
[[nodiscard]] bool open_descriptors(LoopCore& core) noexcept;
void wake_from_thread(LoopCore& core) noexcept;
void wake_scheduler(core::Scheduler& scheduler) noexcept; // the same
void close_descriptors(LoopCore& core) noexcept;
[[nodiscard]] bool renew_after_fork(LoopCore& core) noexcept;

// timers.cpp
[[nodiscard]] bool fire_due_timers(LoopCore& core, double now) noexcept;
void drop_timers(LoopCore& core) noexcept;
void count_cancelled_timer(core::Scheduler& scheduler) noexcept;
PyObject* call_at_directly(core::Scheduler& scheduler, PyObject* when, PyObject* callback,
                           PyObject* argument) noexcept;
PyObject* call_at(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                  PyObject* kwnames) noexcept;
PyObject* call_later(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                     PyObject* kwnames) noexcept;
PyObject* timer_handle_cancelled(PyObject* self, PyObject* handle) noexcept;

// scheduling.cpp
extern PyMethodDef scheduling_methods[];

// tasks.cpp
extern PyMethodDef task_methods[5];
void describe_create_task() noexcept; // its signature is the installed asyncio's

// executor.cpp
extern PyMethodDef executor_methods[];
extern PyGetSetDef executor_getset[];

// watch_methods.cpp
extern PyMethodDef watch_methods[11];
void describe_watching() noexcept; // the signatures are the installed asyncio's
// The descriptor behind an int or an object with fileno() that is to be watched and that no
// transport uses; -1 with asyncio's error set.
[[nodiscard]] int free_descriptor(PyObject* loop, PyObject* object) noexcept;

// watch.cpp
// Queues the handles of what is ready.
[[nodiscard]] bool queue_ready_descriptors(LoopCore& core, const EpollSet::Batch& batch) noexcept;
void drop_watches(LoopCore& core) noexcept;

// signals.cpp: one wake-up pair a process, watched by the loop that blocks in the main thread.
int signal_write_end() noexcept; // makes the pair; -1 with an error set
int signal_read_end() noexcept;  // -1 while there is no pair
void claim_wakeup_fd(bool claimed) noexcept;
[[nodiscard]] bool watch_signals(LoopCore& core) noexcept; // before a poll that may block
[[nodiscard]] bool deliver_signals() noexcept;
[[nodiscard]] bool restore_wakeup_fd(LoopCore& core) noexcept; // at the end of a run
bool signals_claimed() noexcept;
[[nodiscard]] bool renew_signal_pair_after_fork() noexcept;

// overrides.cpp
[[nodiscard]] bool refresh_overrides(PyObject* loop, bool fresh = false) noexcept; // just made
int set_loop_attribute(PyObject* self, PyObject* name, PyObject* value) noexcept;
// Whether create_future() or one of the methods that watch is not ours; -1 with an error set.
[[nodiscard]] int watches_otherwise(PyObject* loop) noexcept;
[[nodiscard]] bool remember_native_methods(PyTypeObject* type) noexcept;

// loop_type.cpp
using LoopList = base::IntrusiveList<LoopCore, &LoopCore::node>;
LoopList& live_loops() noexcept; // made with the type
PyObject* close_loop(PyObject* self, PyObject*) noexcept;
[[nodiscard]] bool make_loop_type(PyObject* module) noexcept;
void after_fork_child() noexcept;

} // namespace bucle::loop
