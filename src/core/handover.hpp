// Hand-over of outcomes between concurrent.futures and the futures of a loop: asyncio's
// _chain_future, either way.
//
// A Handover is the done callback of a concurrent future whose outcome a native future gets. It
// runs in whatever thread completes the one, and puts itself on the ready ring of the other's
// loop: no Handle, no copied context, no layers of Python, which were a third of run_in_executor().
// Only a plain result is copied here; an exception or a cancellation goes by asyncio's own
// function, which has this version's conversions.
#pragma once

#include "core/scheduler.hpp"

namespace bucle::core {

// _chain_future(source, destination): `source` is a concurrent future, `destination` any of a loop.
[[nodiscard]] bool chain_concurrent(PyObject* source, PyObject* destination) noexcept;
// The other way round.
[[nodiscard]] bool chain_to_concurrent(PyObject* source, PyObject* destination) noexcept;

// asyncio.isfuture(); -1 with an error set.
[[nodiscard]] int is_any_future(PyObject* object) noexcept;
// 1 if it is a concurrent.futures.Future, 0, or -1 with an error set.
[[nodiscard]] int is_concurrent_future(PyObject* object) noexcept;

// For the loop: runs the ring entry. As run_handle().
[[nodiscard]] bool run_handover(Scheduler& scheduler, PyObject* handover) noexcept;

[[nodiscard]] bool make_handover_type(PyObject* module) noexcept;

} // namespace bucle::core
