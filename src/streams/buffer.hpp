// Buffer: the bytes that a reader was fed and nobody has read. Chunks stay the bytes objects that
// came, so that a read of a whole one is that very object; what is small and comes while others
// wait is copied behind them, lest a peer that sends single bytes costs fifty times their size.
//
// In asyncio this is `reader._buffer`, a bytearray, and programs do look at it: from the first look
// on the content stands in a bytearray, or whatever Python put in its place, and is used through
// that. When it is empty and nobody else holds it, the next chunk is native again.
//
// Invariant: either object_ is null and the chunks hold the content, or there are no chunks.
#pragma once

#include "base/ring_queue.hpp"
#include "py/ref.hpp"

namespace bucle::streams {

class Buffer {
  public:
    static constexpr Py_ssize_t kNotFound = -1;
    static constexpr Py_ssize_t kError = -2;

    Buffer() noexcept = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { replace(nullptr); }

    bool native() const noexcept { return !object_; }
    // -1 with an error set: a len() written in Python can fail.
    [[nodiscard]] Py_ssize_t size() const noexcept {
        return native() ? size_ : PyObject_Size(object_.clone().get());
    }
    // 1, 0, or -1 with an error set: `not buffer`.
    [[nodiscard]] int empty() const noexcept {
        if (native()) [[likely]] {
            return size_ == 0 ? 1 : 0;
        }
        return PyObject_Not(object_.clone().get());
    }

    // False with an error set. A bytes object is kept, or copied as said above.
    [[nodiscard]] bool append(PyObject* bytes) noexcept;
    [[nodiscard]] bool append(const char* data, Py_ssize_t size) noexcept;

    // Takes that many bytes off the front, or all if there are fewer; null with an error set.
    py::Ref take(Py_ssize_t count) noexcept;
    py::Ref take_all() noexcept;
    // The same without giving them.
    [[nodiscard]] bool drop(Py_ssize_t count) noexcept;
    [[nodiscard]] bool drop_all() noexcept;

    // Where `separator`, a bytes object, not empty, begins at or behind `from`; kNotFound; kError
    // with an error set.
    Py_ssize_t find(PyObject* separator, Py_ssize_t from) const noexcept;
    // buffer.startswith(separator, at): 1, 0, or -1 with an error set.
    [[nodiscard]] int has_at(PyObject* separator, Py_ssize_t at) const noexcept;

    // What Python sees: from now on this very object holds the content.
    py::Ref as_python() noexcept;
    // What Python put here.
    void replace(PyObject* object) noexcept;

    int visit(visitproc visitor, void* arg) const noexcept { return object_.visit(visitor, arg); }

  private:
    // A piece of an owned bytes object. Behind the end of the last one there may be room.
    struct Chunk {
        PyObject* bytes = nullptr;
        Py_ssize_t begin = 0;
        Py_ssize_t end = 0;

        Py_ssize_t size() const noexcept { return end - begin; }
        char* data() const noexcept { return PyBytes_AS_STRING(bytes) + begin; }
    };

    Chunk chunk(std::size_t place) const noexcept { return place == 0 ? first_ : more_[place - 1]; }
    std::size_t chunks() const noexcept { return size_ == 0 ? 0 : 1 + more_.size(); }
    [[nodiscard]] bool push(py::Ref bytes, Py_ssize_t filled) noexcept;
    [[nodiscard]] bool push_copy(const char* data, Py_ssize_t size) noexcept;
    Py_ssize_t fill_last(const char* data, Py_ssize_t size) noexcept;
    void consume(Py_ssize_t count, char* into) noexcept;
    void pop() noexcept;
    void settle() noexcept;
    bool matches(std::size_t place, Py_ssize_t at, const char* text,
                 Py_ssize_t size) const noexcept;

    Chunk first_; // the others stand in the queue, which most readers never need
    base::RingQueue<Chunk> more_;
    Py_ssize_t size_ = 0;
    py::Ref object_;
};

} // namespace bucle::streams
