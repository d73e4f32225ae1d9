// See queue.hpp. All of a queue that does not wait.
#include "sync/queue.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::sync {

int Queue::visit(visitproc visitor, void* arg) const noexcept {
    for (const Deque* deque : {&items, &getters, &putters}) {
        if (const int stop = deque->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    for (const py::Ref* ref : {&maxsize, &loop}) {
        if (const int stop = ref->visit(visitor, arg); stop != 0) {
            return stop;
        }
    }
    return finished.visit(visitor, arg);
}

void Queue::clear() noexcept {
    items.clear();
    getters.clear();
    putters.clear();
    finished.forget();
    maxsize.reset();
    loop.reset();
}

namespace {

bool require_items(PyObject* self) noexcept {
    if (queue_of(self).has_items) [[likely]] {
        return true;
    }
    py::raise_no_attribute(self, "_queue");
    return false;
}

// The list of the two types that keep one, or what Python put in its place.
py::Ref content_of(PyObject* self) noexcept {
    return require_items(self) ? queue_of(self).items.as_python() : py::Ref();
}

} // namespace

bool init_items(Queue& queue, Kind kind) noexcept {
    queue.has_items = true;
    if (kind == Kind::fifo) {
        queue.items.clear();
        return true;
    }
    const py::Ref list = py::Ref::steal(PyList_New(0));
    if (list) {
        queue.items.replace(list.get());
    }
    return static_cast<bool>(list);
}

bool put_fifo(PyObject* self, PyObject* item) noexcept {
    return require_items(self) && queue_of(self).items.push_back(item);
}

bool put_lifo(PyObject* self, PyObject* item) noexcept {
    const py::Ref content = content_of(self);
    if (content && PyList_CheckExact(content.get())) [[likely]] {
        return PyList_Append(content.get(), item) == 0;
    }
    return content && py::call_method(content.get(), py::names().append, item);
}

bool put_heap(PyObject* self, PyObject* item, PyObject* heappush) noexcept {
    const py::Ref content = content_of(self);
    return content && py::call(heappush, content.get(), item);
}

py::Ref get_fifo(PyObject* self) noexcept {
    return require_items(self) ? queue_of(self).items.pop_front() : py::Ref();
}

py::Ref get_lifo(PyObject* self) noexcept {
    const py::Ref content = content_of(self);
    if (!content) {
        return {};
    }
    const Py_ssize_t size = PyList_CheckExact(content.get()) ? PyList_GET_SIZE(content.get()) : 0;
    if (size == 0) {
        return py::call_method(content.get(), py::names().pop);
    }
    py::Ref item = py::Ref::borrow(PyList_GET_ITEM(content.get(), size - 1));
    return PyList_SetSlice(content.get(), size - 1, size, nullptr) == 0 ? std::move(item)
                                                                        : py::Ref();
}

py::Ref get_heap(PyObject* self, PyObject* heappop) noexcept {
    const py::Ref content = content_of(self);
    return content ? py::call(heappop, content.get()) : py::Ref();
}

Py_ssize_t count_items(PyObject* self) noexcept {
    return require_items(self) ? queue_of(self).items.size() : -1;
}

void set_maxsize(Queue& queue, PyObject* maxsize) noexcept {
    queue.limit = Queue::kAskObject;
    if (PyLong_CheckExact(maxsize)) {
        const Py_ssize_t limit = PyLong_AsSsize_t(maxsize);
        if (limit != -1 || PyErr_Occurred() == nullptr) {
            queue.limit = limit <= 0 ? Queue::kUnlimited : limit;
        }
        PyErr_Clear(); // too large: rare enough to be asked every time
    }
    queue.maxsize = py::Ref::borrow(maxsize);
}

namespace {

// self.qsize()
py::Ref size_of(PyObject* self) noexcept {
    if (!is_native(self, Hook::qsize)) {
        return py::call_method(self, py::names().qsize);
    }
    const Py_ssize_t size = count_items(self);
    return size < 0 ? py::Ref() : py::Ref::steal(PyLong_FromSsize_t(size));
}

// `self._maxsize <= 0`, and if not so `self.qsize() >= self._maxsize`, of a maxsize of any type.
py::Ref compare_with_object(PyObject* self) noexcept {
    const py::Ref maxsize = queue_of(self).maxsize.clone();
    if (!maxsize) {
        py::raise_no_attribute(self, "_maxsize");
        return {};
    }
    const py::Ref zero = py::Ref::steal(PyLong_FromLong(0));
    const int unlimited =
        zero ? py::truth_of(py::Ref::steal(PyObject_RichCompare(maxsize.get(), zero.get(), Py_LE)))
             : -1;
    if (unlimited != 0) {
        return unlimited > 0 ? py::Ref::borrow(Py_False) : py::Ref();
    }
    const py::Ref size = size_of(self);
    return size ? py::Ref::steal(PyObject_RichCompare(size.get(), maxsize.get(), Py_GE))
                : py::Ref();
}

} // namespace

py::Ref answer_full(PyObject* self) noexcept {
    const Queue& queue = queue_of(self);
    if (queue.limit == Queue::kUnlimited) {
        return py::Ref::borrow(Py_False);
    }
    if (queue.limit == Queue::kAskObject || !is_native(self, Hook::qsize)) {
        return compare_with_object(self);
    }
    const Py_ssize_t size = count_items(self);
    return size < 0 ? py::Ref() : py::Ref::borrow(size >= queue.limit ? Py_True : Py_False);
}

int is_full(PyObject* self) noexcept {
    return py::truth_of(is_native(self, Hook::full) ? answer_full(self)
                                                    : py::call_method(self, py::names().full));
}

int has_no_items(PyObject* self) noexcept {
    return require_items(self) ? queue_of(self).items.empty() : -1;
}

int is_empty(PyObject* self) noexcept {
    return is_native(self, Hook::empty) ? has_no_items(self)
                                        : py::truth_of(py::call_method(self, py::names().empty));
}

py::Ref take_item(PyObject* self) noexcept {
    switch (getting_kind(self)) {
    case Kind::fifo:
        return get_fifo(self);
    case Kind::lifo:
        return get_lifo(self);
    case Kind::heap:
        return get_heap(self, py::state().heappop);
    case Kind::by_name:
        break;
    }
    return py::call_method(self, py::names()._get);
}

namespace {

// self._put(item)
bool put_item(PyObject* self, PyObject* item) noexcept {
    switch (putting_kind(self)) {
    case Kind::fifo:
        return put_fifo(self, item);
    case Kind::lifo:
        return put_lifo(self, item);
    case Kind::heap:
        return put_heap(self, item, py::state().heappush);
    case Kind::by_name:
        break;
    }
    return static_cast<bool>(py::call_method(self, py::names()._put, item));
}

py::Ref raise_shut_down() noexcept {
    PyErr_SetNone(py::state().queue_shut_down);
    return {};
}

} // namespace

bool wake_next(Deque& waiters) noexcept {
    for (;;) {
        const int empty = waiters.empty();
        if (empty != 0) {
            return empty > 0;
        }
        const py::Ref waiter = waiters.pop_front();
        const int done = waiter ? core::is_done(waiter.get()) : -1;
        if (done <= 0) {
            return done == 0 && core::set_result_of(waiter.get(), Py_None);
        }
    }
}

bool wake_next_of(PyObject* self, Deque& waiters) noexcept {
    if (is_native(self, Hook::wakeup_next)) [[likely]] {
        return wake_next(waiters);
    }
    const py::Ref seen = waiters.as_python();
    return seen && py::call_method(self, py::names()._wakeup_next, seen.get());
}

py::Ref put_now(PyObject* self, PyObject* item) noexcept {
    Queue& queue = queue_of(self);
    if (queue.is_shutdown) {
        return raise_shut_down();
    }
    const int full = is_full(self);
    if (full != 0) {
        if (full > 0) {
            PyErr_SetNone(py::state().queue_full);
        }
        return {};
    }
    if (!put_item(self, item)) {
        return {};
    }
    ++queue.unfinished;
    return queue.finished.clear() && wake_next_of(self, queue.getters) ? py::none() : py::Ref();
}

py::Ref get_now(PyObject* self) noexcept {
    Queue& queue = queue_of(self);
    const int empty = is_empty(self);
    if (empty != 0) {
        if (empty > 0) {
            PyErr_SetNone(queue.is_shutdown ? py::state().queue_shut_down
                                            : py::state().queue_empty);
        }
        return {};
    }
    py::Ref item = take_item(self);
    return item && wake_next_of(self, queue.putters) ? std::move(item) : py::Ref();
}

namespace {

bool drain(PyObject* self) noexcept {
    Queue& queue = queue_of(self);
    for (;;) {
        const int empty = is_empty(self);
        if (empty != 0) {
            return empty > 0 && (queue.unfinished != 0 || queue.finished.set());
        }
        if (!take_item(self)) {
            return false;
        }
        if (queue.unfinished > 0) {
            --queue.unfinished;
        }
    }
}

bool wake_all(Deque& waiters) noexcept {
    for (;;) {
        const int empty = waiters.empty();
        if (empty != 0) {
            return empty > 0;
        }
        if (!wake_next(waiters)) {
            return false;
        }
    }
}

} // namespace

bool shut_down(PyObject* self, bool immediate) noexcept {
    Queue& queue = queue_of(self);
    queue.is_shutdown = true;
    // Everybody who waits looks again, and raises.
    return (!immediate || drain(self)) && wake_all(queue.getters) && wake_all(queue.putters);
}

} // namespace bucle::sync
