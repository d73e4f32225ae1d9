// Deque: the waiters of a lock, the items of a queue. Native while nobody looks: a small ring of
// references. Programs do look, though (`queue._getters`, `lock._waiters`, `queue._queue`), and a
// subclass may change what it finds there: from the first such look on, the content stands in a
// collections.deque, or in whatever Python put in its place, and is used through that.
//
// Invariant: either object_ is null and the ring holds the content, or the ring is empty.
#pragma once

#include "py/ref.hpp"

namespace bucle::sync {

class Deque {
  public:
    Deque() noexcept = default;
    Deque(const Deque&) = delete;
    Deque& operator=(const Deque&) = delete;
    ~Deque() { clear(); }

    bool native() const noexcept { return !object_; }
    // Nothing was ever put in: asyncio makes the deque of some primitives only then.
    bool untouched() const noexcept { return native() && capacity_ == 0; }
    // -1 with an error set: a len() written in Python can fail.
    [[nodiscard]] Py_ssize_t size() const noexcept {
        return native() ? static_cast<Py_ssize_t>(size_) : PyObject_Size(object_.get());
    }
    // 1, 0, or -1 with an error set: `not deque`.
    [[nodiscard]] int empty() const noexcept {
        if (native()) [[likely]] {
            return size_ == 0 ? 1 : 0;
        }
        return PyObject_Not(object_.get());
    }

    [[nodiscard]] bool push_back(PyObject* item) noexcept;
    // Null with an error set; IndexError when it is empty.
    py::Ref pop_front() noexcept;
    // The item at a place below size(); null with an error set.
    py::Ref at(Py_ssize_t place) const noexcept;
    // Takes out the first that is `item` itself. False with an error set: ValueError when there is
    // none.
    [[nodiscard]] bool remove(PyObject* item) noexcept;

    // Shows each item to `visitor` until that returns other than 0, which it returns; -1: an error
    // is set. Python's iterator, where one is used, sees when the deque changes meanwhile.
    template <class Visitor>
    int for_each(Visitor visitor) const noexcept {
        if (!native()) {
            const py::Ref iterator = py::Ref::steal(PyObject_GetIter(object_.get()));
            while (iterator) {
                const py::Ref item = py::Ref::steal(PyIter_Next(iterator.get()));
                if (!item) {
                    break;
                }
                if (const int stop = visitor(item.get()); stop != 0) {
                    return stop;
                }
            }
            return PyErr_Occurred() == nullptr ? 0 : -1;
        }
        for (Py_ssize_t i = 0; i < size(); ++i) {
            const py::Ref item = at(i);
            if (const int stop = item ? visitor(item.get()) : -1; stop != 0) {
                return stop;
            }
        }
        return 0;
    }

    // What Python sees: from now on this very object holds the content.
    py::Ref as_python() noexcept;
    // What Python put here.
    void replace(PyObject* object) noexcept;

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;

  private:
    [[nodiscard]] bool grow() noexcept;
    PyObject*& slot(std::uint32_t place) const noexcept {
        return items_[(head_ + place) & (capacity_ - 1)];
    }

    PyObject** items_ = nullptr; // owned references
    std::uint32_t capacity_ = 0; // a power of two, or 0
    std::uint32_t head_ = 0;
    std::uint32_t size_ = 0;
    py::Ref object_;
};

} // namespace bucle::sync
