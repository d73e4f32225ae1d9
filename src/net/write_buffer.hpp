// WriteBuffer: what could not be written yet, as bytes objects kept by reference, the first of
// them from an offset on.
//
// Invariant: the parts are items_[(head_ + i) & (capacity_ - 1)] for i < count_, none of them
// empty, all exact bytes, so that dropping one runs no Python. A few stand in the object itself: a
// response's head and body, gathered into one system call, allocate nothing.
#pragma once

#include "py/ref.hpp"

#include <sys/uio.h>

#include <cstdlib>
#include <cstring>

namespace bucle::net {

// What asyncio's transports take.
inline bool is_bytes_like(PyObject* data) noexcept {
    return PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data);
}

// bytes kept as they are, anything else copied; null with an error set.
inline py::Ref immutable(PyObject* data) noexcept {
    return PyBytes_CheckExact(data) ? py::Ref::borrow(data)
                                    : py::Ref::steal(PyBytes_FromObject(data));
}

class WriteBuffer {
  public:
    static constexpr std::size_t kInline = 4;
    static constexpr int kAtOnce = 64; // parts of one writev

    WriteBuffer() noexcept = default;
    WriteBuffer(const WriteBuffer&) = delete;
    WriteBuffer& operator=(const WriteBuffer&) = delete;
    ~WriteBuffer() { clear(); }

    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; } // bytes
    [[nodiscard]] std::size_t parts() const noexcept { return count_; }

    // Takes exact bytes, without the first `skip`, which may only be written ones (the buffer is
    // empty then) and less than all. False with MemoryError set.
    [[nodiscard]] bool push(py::Ref bytes, std::size_t skip = 0) noexcept {
        const auto length = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()));
        if (length == 0) {
            return true;
        }
        if (count_ == capacity_ && !grow()) {
            PyErr_NoMemory();
            return false;
        }
        if (skip != 0) {
            offset_ = skip;
        }
        items_[(head_ + count_++) & (capacity_ - 1)] = bytes.release();
        size_ += length - skip;
        return true;
    }

    // Describes the first parts; returns how many.
    int describe(iovec* out, int room = kAtOnce) const noexcept {
        int n = 0;
        for (; n < room && static_cast<std::size_t>(n) < count_; ++n) {
            PyObject* const bytes = part(static_cast<std::size_t>(n));
            out[n].iov_base = PyBytes_AS_STRING(bytes);
            out[n].iov_len = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes));
        }
        if (n != 0) {
            out[0].iov_base = static_cast<char*>(out[0].iov_base) + offset_;
            out[0].iov_len -= offset_;
        }
        return n;
    }

    // Forgets what was written.
    void consume(std::size_t written) noexcept {
        size_ -= written;
        written += offset_;
        offset_ = 0;
        while (count_ != 0) {
            PyObject* const first = part(0);
            const auto length = static_cast<std::size_t>(PyBytes_GET_SIZE(first));
            if (written < length) {
                offset_ = written;
                return;
            }
            written -= length;
            ++head_;
            --count_;
            py::drop(first);
        }
        give_back();
    }

    void clear() noexcept {
        while (count_ != 0) {
            py::drop(part(0));
            ++head_;
            --count_;
        }
        size_ = offset_ = 0;
        give_back();
    }

    // All of it as one bytes; null with an error set.
    py::Ref joined() const noexcept {
        py::Ref all =
            py::Ref::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size_)));
        char* at = all ? PyBytes_AS_STRING(all.get()) : nullptr;
        for (std::size_t i = 0; all && i != count_; ++i) {
            PyObject* const bytes = part(i);
            const std::size_t skip = i == 0 ? offset_ : 0;
            const std::size_t length = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes)) - skip;
            std::memcpy(at, PyBytes_AS_STRING(bytes) + skip, length);
            at += length;
        }
        return all;
    }

  private:
    PyObject* part(std::size_t i) const noexcept { return items_[(head_ + i) & (capacity_ - 1)]; }

    [[gnu::noinline]] bool grow() noexcept {
        auto* const items = static_cast<PyObject**>(std::malloc(capacity_ * 2 * sizeof(PyObject*)));
        if (items == nullptr) {
            return false;
        }
        for (std::size_t i = 0; i != count_; ++i) {
            items[i] = part(i);
        }
        if (items_ != inline_) {
            std::free(items_);
        }
        items_ = items;
        capacity_ *= 2;
        head_ = 0;
        return true;
    }

    // Of a backlog nothing is left on an idle connection.
    void give_back() noexcept {
        if (items_ != inline_) [[unlikely]] {
            std::free(items_);
            items_ = inline_;
            capacity_ = kInline;
        }
        head_ = 0;
    }

    PyObject* inline_[kInline] = {};
    PyObject** items_ = inline_;
    std::size_t capacity_ = kInline;
    std::size_t head_ = 0;
    std::size_t count_ = 0;
    std::size_t offset_ = 0; // into the first part
    std::size_t size_ = 0;
};

} // namespace bucle::net
