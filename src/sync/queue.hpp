// Queue: items, those who wait for one, those who wait for room. What asyncio calls on `self`, as
// `self.full()` or `self._put(item)`, is called by name where a subclass replaced it: see
// queue_hooks.hpp.
#pragma once

#include "sync/queue_finished.hpp"
#include "sync/queue_hooks.hpp"

namespace bucle::sync {

struct Queue {
    static constexpr Py_ssize_t kUnlimited = 0;
    static constexpr Py_ssize_t kAskObject = -1; // maxsize is no int, or one of a subclass

    Deque items; // `_queue`: an object from the start in the two types that keep a list
    Deque getters;
    Deque putters;
    Finished finished;
    py::Ref maxsize; // as it was given
    py::Ref loop;
    Py_ssize_t limit = kAskObject;
    Py_ssize_t unfinished = 0;
    bool has_items = false; // `_queue` is there: a subclass's _init may leave it out
    bool is_shutdown = false;

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;
};

inline Queue& queue_of(PyObject* self) noexcept {
    return core_of<Queue>(self);
}

// How each type keeps its items; `self` for the AttributeError of a queue without `_queue`.
[[nodiscard]] bool init_items(Queue& queue, Kind kind) noexcept;
[[nodiscard]] bool put_fifo(PyObject* self, PyObject* item) noexcept;
[[nodiscard]] bool put_lifo(PyObject* self, PyObject* item) noexcept;
[[nodiscard]] bool put_heap(PyObject* self, PyObject* item, PyObject* heappush) noexcept;
py::Ref get_fifo(PyObject* self) noexcept;
py::Ref get_lifo(PyObject* self) noexcept;
py::Ref get_heap(PyObject* self, PyObject* heappop) noexcept;
Py_ssize_t count_items(PyObject* self) noexcept; // -1: error

void set_maxsize(Queue& queue, PyObject* maxsize) noexcept;
// What `full()` answers: the outcome of a comparison, of any type.
py::Ref answer_full(PyObject* self) noexcept;

// self.full(), self.empty(): 1, 0, or -1 with an error set.
int is_full(PyObject* self) noexcept;
int is_empty(PyObject* self) noexcept;
// `not self._queue`
int has_no_items(PyObject* self) noexcept;
// self._get()
py::Ref take_item(PyObject* self) noexcept;

// The first waiter that is still interested; False with an error set.
[[nodiscard]] bool wake_next(Deque& waiters) noexcept;
// self._wakeup_next(waiters)
[[nodiscard]] bool wake_next_of(PyObject* self, Deque& waiters) noexcept;

py::Ref put_now(PyObject* self, PyObject* item) noexcept;
py::Ref get_now(PyObject* self) noexcept;
[[nodiscard]] bool shut_down(PyObject* self, bool immediate) noexcept;

// The bodies of the coroutines (queue_waiting.cpp).
core::Step put(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept;
core::Step get(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept;
core::Step join(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept;

// What Python sees beside the methods (queue_view.cpp).
struct QueueTables {
    PyGetSetDef* properties;
    PyGetSetDef* attributes; // the private ones
};
QueueTables queue_tables(bool has_shutdown) noexcept;
PyObject* format_queue(py::Function&, PyObject* const* args) noexcept;
PyObject* queue_repr(py::Function&, PyObject* const* args) noexcept;
PyObject* queue_str(py::Function&, PyObject* const* args) noexcept;

} // namespace bucle::sync
