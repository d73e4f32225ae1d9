// Readiness: what native code has on the reading or the writing side of a watched descriptor, in
// the place of a Handle. When the descriptor is ready it is pushed on the ready ring, at the place
// where asyncio's handle would stand, and calls `notify(owner)` from there: outside the poll, with
// the GIL, in the loop's order. Nothing is allocated per event.
//
// It enters no context: an owner that calls Python enters its own.
#pragma once

#include "core/scheduler.hpp"

namespace bucle::loop {

struct LoopCore;

enum class Side { reader, writer };

// False with an error set: KeyboardInterrupt and SystemExit end the run, anything else is told to
// the loop's exception handler.
using OnReady = bool (*)(PyObject* owner) noexcept;

// `name` is what the report of a slow or failed callback shows.
py::Ref make_readiness(PyObject* owner, OnReady notify, const char* name) noexcept;
// Drops the owner: for one that has ended. It is never notified again.
void disown(PyObject* readiness) noexcept;

// Watches one side of a descriptor, in place of what was there, until unwatch(). Level triggered.
// False with OSError set: EBADF, EPERM of a regular file, ENOMEM; then neither side is watched.
[[nodiscard]] bool watch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept;
// Ends that, also for a descriptor that was closed meanwhile; what is queued does not run any more.
// Does nothing when something else is watched there.
void unwatch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept;

[[nodiscard]] bool is_watched(const LoopCore& core, int fd, Side side) noexcept;

// A transport says that a descriptor is its own, until it is closed: add_reader() and the like
// refuse it meanwhile. False with MemoryError set.
[[nodiscard]] bool claim_fd(LoopCore& core, int fd, PyObject* transport) noexcept;
void release_fd(LoopCore& core, int fd, const PyObject* transport) noexcept;
// Whether it is notified still: false after unwatch(), and when something else took its place.
[[nodiscard]] bool is_watched(PyObject* readiness) noexcept;

// For the loop. Watches a side, as watch() does, by a handle or a Readiness.
[[nodiscard]] bool put(LoopCore& core, int fd, Side side, py::Ref watcher) noexcept;
// Ends that: 1 done, 0 nobody watched, -1 with an error set.
[[nodiscard]] int take_off(LoopCore& core, int fd, Side side) noexcept;
// The transport that claimed the descriptor (borrowed), or null.
PyObject* transport_at(const LoopCore& core, int fd) noexcept;
[[nodiscard]] bool is_readiness(PyObject* object) noexcept;
void set_watched(PyObject* readiness, bool watched) noexcept;
[[nodiscard]] bool run_readiness(core::Scheduler& scheduler, PyObject* readiness) noexcept;

[[nodiscard]] bool make_readiness_type(PyObject* module) noexcept;

} // namespace bucle::loop
