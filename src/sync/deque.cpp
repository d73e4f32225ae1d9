// See deque.hpp. The memory is PyMem's, so that tracemalloc sees it as it sees a deque's.
#include "sync/deque.hpp"

#include "py/call.hpp"
#include "py/error.hpp"
#include "py/state.hpp"

namespace bucle::sync {

bool Deque::grow() noexcept {
    constexpr std::uint32_t kFirstCapacity = 4;
    constexpr std::uint32_t kMaxCapacity = std::uint32_t{1} << 31;
    if (capacity_ == kMaxCapacity) {
        PyErr_NoMemory();
        return false;
    }
    const std::uint32_t wanted = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
    auto* const items = static_cast<PyObject**>(PyMem_Malloc(wanted * sizeof(PyObject*)));
    if (items == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    for (std::uint32_t i = 0; i != size_; ++i) {
        items[i] = slot(i);
    }
    PyMem_Free(items_);
    items_ = items;
    capacity_ = wanted;
    head_ = 0;
    return true;
}

bool Deque::push_back(PyObject* item) noexcept {
    if (!native()) {
        return static_cast<bool>(py::call_method(object_.get(), py::names().append, item));
    }
    if (size_ == capacity_ && !grow()) [[unlikely]] {
        return false;
    }
    slot(size_++) = py::new_ref(item);
    return true;
}

py::Ref Deque::pop_front() noexcept {
    if (!native()) {
        return py::call_method(object_.get(), py::names().popleft);
    }
    if (size_ == 0) {
        PyErr_SetString(PyExc_IndexError, "pop from an empty deque");
        return {};
    }
    py::Ref item = py::Ref::steal(slot(0));
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
    return item;
}

py::Ref Deque::at(Py_ssize_t place) const noexcept {
    if (!native()) {
        if (!PySequence_Check(object_.get()) && place == 0) { // a set, a dict
            const py::Ref iterator = py::Ref::steal(PyObject_GetIter(object_.get()));
            return iterator ? py::Ref::steal(PyIter_Next(iterator.get())) : py::Ref();
        }
        return py::Ref::steal(PySequence_GetItem(object_.get(), place));
    }
    return py::Ref::borrow(slot(static_cast<std::uint32_t>(place)));
}

bool Deque::remove(PyObject* item) noexcept {
    if (!native()) {
        return static_cast<bool>(py::call_method(object_.get(), py::names().remove, item));
    }
    for (std::uint32_t i = 0; i != size_; ++i) {
        if (slot(i) != item) {
            continue;
        }
        const py::Ref gone = py::Ref::steal(slot(i));
        if (i == 0) {
            head_ = (head_ + 1) & (capacity_ - 1);
        } else {
            for (std::uint32_t j = i; j + 1 < size_; ++j) {
                slot(j) = slot(j + 1);
            }
        }
        --size_;
        return true;
    }
    PyErr_SetString(PyExc_ValueError, "deque.remove(x): x not in deque");
    return false;
}

py::Ref Deque::as_python() noexcept {
    if (native()) {
        py::Ref made = py::call(py::state().deque);
        if (!native()) { // a finalizer, run by that call, looked as well
            return object_.clone();
        }
        for (std::uint32_t i = 0; made && i != size_; ++i) {
            if (!py::call_method(made.get(), py::names().append, slot(i))) {
                return {};
            }
        }
        if (!made) {
            return made;
        }
        clear();
        object_ = std::move(made);
    }
    return object_.clone();
}

void Deque::replace(PyObject* object) noexcept {
    const py::Ref old = std::move(object_);
    object_ = py::Ref::borrow(object);
    // Only now: what a dying item runs must find the new content.
    PyObject** const items = std::exchange(items_, nullptr);
    const std::uint32_t head = std::exchange(head_, 0);
    const std::uint32_t size = std::exchange(size_, 0);
    const std::uint32_t capacity = std::exchange(capacity_, 0);
    for (std::uint32_t i = 0; i != size; ++i) {
        py::drop(items[(head + i) & (capacity - 1)]);
    }
    PyMem_Free(items);
}

int Deque::visit(visitproc visitor, void* arg) const noexcept {
    for (std::uint32_t i = 0; i != size_; ++i) {
        if (const int stop = visitor(slot(i), arg); stop != 0) {
            return stop;
        }
    }
    return object_.visit(visitor, arg);
}

void Deque::clear() noexcept {
    replace(nullptr);
}

} // namespace bucle::sync
