// What a task's step leaves in place for the step that follows it: it stays the current task (up to
// 3.13, see py::abi::set_current), and its context stays entered. Between two steps no code of
// Python's runs, so nobody can tell. Of a sleep(0) that is 12 of 122 ns.
//
// Invariant: whoever may run Python between two steps calls leave_step() first.
#pragma once

#include "core/scheduler.hpp"
#include "py/asyncio_abi.hpp"

namespace bucle::core {

inline void leave_lingering_context(Scheduler& scheduler) noexcept {
    if (const py::Ref context = std::move(scheduler.lingering_context)) {
        if (PyContext_Exit(context.get()) < 0) {
            PyErr_WriteUnraisable(scheduler.loop);
        }
    }
}

inline void leave_step(Scheduler& scheduler) noexcept {
    leave_lingering_context(scheduler);
    py::abi::clear_lingering(scheduler.loop, scheduler.lingering_task);
}

} // namespace bucle::core
