// Finished: the event of a queue that is set while no task is unfinished; join() waits for it.
// asyncio has an Event object for it, which nearly nobody ever looks at: here it is a flag and the
// waiters, until Python asks for `_finished`. From then on that Event has both.
#pragma once

#include "core/coroutine.hpp"
#include "sync/deque.hpp"

namespace bucle::sync {

class Finished {
  public:
    // False with an error set: whoever waits may have a loop written in Python.
    [[nodiscard]] bool set() noexcept;
    [[nodiscard]] bool clear() noexcept {
        if (!event_) [[likely]] {
            is_set_ = false;
            return true;
        }
        return clear_event();
    }

    // `await event.wait()` of the coroutine's body: goes on at `native_stage`, where leave() is to
    // be called first, or at `event_stage`. Finishes with None when there is nothing to wait for.
    core::Step wait(core::Coroutine& co, std::uint8_t native_stage, std::uint8_t event_stage,
                    py::Ref& result) noexcept;
    void leave(PyObject* waiter) noexcept;

    // What Python sees, and puts there (null: as after __init__).
    py::Ref as_python() noexcept;
    void replace(PyObject* event) noexcept;

    int visit(visitproc visitor, void* arg) const noexcept;
    void forget() noexcept;

  private:
    [[nodiscard]] bool clear_event() noexcept;

    Deque waiters_;
    py::Ref loop_; // that the event is bound to; the queue's own may be another one
    py::Ref event_;
    bool is_set_ = true;
};

} // namespace bucle::sync
