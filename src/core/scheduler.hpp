// What a Future, a Task or a Handle needs from a loop, and nothing more. Our Loop embeds a
// Scheduler as the first part of its fields; for it, scheduling is a push on the ready ring. Any
// other loop (asyncio's, uvloop's, one with an overridden call_soon) is called through Python.
//
// Ready entries own their object. A woken task is an entry by itself: no Handle, no tuple.
#pragma once

#include "base/ring_queue.hpp"
#include "py/type_builder.hpp"

#include <initializer_list>

namespace bucle::core {

enum class ReadyKind : std::uintptr_t {
    handle = 0,      // call it
    task_step = 1,   // its first step, or one after a bare yield
    task_wakeup = 2, // the future it waits for is done
    notice = 3,      // of a future that is done, to its first observer (observer.hpp)
    readiness = 4,   // of a descriptor, to native code (loop/readiness.hpp)
    handover = 5,    // of an outcome, from another thread (handover.hpp)
};

class Ready {
  public:
    Ready() noexcept = default;
    Ready(ReadyKind kind, PyObject* object) noexcept
        : bits_(reinterpret_cast<std::uintptr_t>(object) | static_cast<std::uintptr_t>(kind)) {}
    ReadyKind kind() const noexcept { return static_cast<ReadyKind>(bits_ & kMask); }
    PyObject* object() const noexcept { return reinterpret_cast<PyObject*>(bits_ & ~kMask); }

  private:
    static constexpr std::uintptr_t kMask = 7; // objects are aligned to 8 at the least
    std::uintptr_t bits_ = 0;
};

struct Scheduler {
    // Why scheduling cannot be a bare push. Zero on the hot path.
    enum Gate : std::uint8_t {
        kClosed = 1,
        kDebug = 2,
        kCallSoonOverridden = 4,
    };

    base::RingQueue<Ready> ready;
    PyObject* loop = nullptr;        // the Loop itself, not owned
    unsigned long thread_id = 0;     // of the thread that runs the loop; 0 while it does not run
    PyThreadState* thread = nullptr; // its state, likewise
    std::uint8_t gate = 0;
    bool lingering_task = false;                 // see core/lingering.hpp, as the next
    py::Ref lingering_context;                   // entered; null while anything runs
    py::Ref spare_context;                       // an empty one or null, see core/context.hpp
    bool threadsafe_overridden = false;          // call_soon_threadsafe()
    void (*wake)(Scheduler&) noexcept = nullptr; // another thread has pushed an entry
    void (*timer_cancelled)(Scheduler&) noexcept = nullptr; // a scheduled timer was cancelled
    // The clock, and call_at(when, callback, argument); both honour overrides.
    bool (*now)(Scheduler&, double&) noexcept = nullptr;
    PyObject* (*call_at)(Scheduler&, PyObject*, PyObject*, PyObject*) noexcept = nullptr;

    bool debug() const noexcept { return (gate & kDebug) != 0; }
    bool closed() const noexcept { return (gate & kClosed) != 0; }
    bool foreign() const noexcept { return (gate & kCallSoonOverridden) != 0; }
};

extern std::size_t loop_offset; // of the Scheduler in a Loop; set when the type is made

// The Scheduler of `loop` if that is one of ours, else null.
inline Scheduler* scheduler_of(PyObject* loop) noexcept {
    PyTypeObject* native = py::state().loop_type;
    if (Py_TYPE(loop) == native || (native != nullptr && PyType_IsSubtype(Py_TYPE(loop), native))) {
        return py::own_fields<Scheduler>(loop, loop_offset);
    }
    return nullptr;
}

// Raise asyncio's errors: a closed loop; in debug mode a wrong thread or a bad callback.
[[nodiscard]] bool check_closed(const Scheduler& scheduler) noexcept;
[[nodiscard]] bool check_thread(const Scheduler& scheduler) noexcept;
[[nodiscard]] bool check_callback(PyObject* callback, const char* method) noexcept;
[[nodiscard]] bool check_gate(const Scheduler& scheduler) noexcept;

// Pushes an entry; takes the reference in any case.
[[nodiscard]] inline bool push_ready(Scheduler& scheduler, ReadyKind kind,
                                     py::Ref object) noexcept {
    if (!scheduler.ready.push_back(Ready(kind, object.get()))) [[unlikely]] {
        PyErr_NoMemory();
        return false;
    }
    (void)object.release();
    return true;
}

// Schedules callback(argument) on any loop. `argument` may be null; a null context means an empty
// one.
[[nodiscard]] bool call_soon(PyObject* loop, PyObject* callback, PyObject* argument,
                             PyObject* context) noexcept;

// loop.time() and loop.call_at(when, callback, argument), on any loop.
py::Ref loop_time(PyObject* loop) noexcept;
py::Ref call_at(PyObject* loop, PyObject* when, PyObject* callback, PyObject* argument) noexcept;

bool debug_of(PyObject* loop, bool& failed) noexcept;

// One entry of what an exception handler is told; left out when the value is null.
struct Detail {
    PyObject* key;
    PyObject* value;
};

// loop.call_exception_handler({"message": message, ...}). A null message has its error set already.
// What the handler lets out (KeyboardInterrupt, SystemExit) is raised: in a callback it ends the
// run, as in asyncio.
[[nodiscard]] bool report_to_loop(PyObject* loop, py::Ref message,
                                  std::initializer_list<Detail> details) noexcept;

} // namespace bucle::core
