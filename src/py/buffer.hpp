// Buffer: the memory of a bytes-like object, lent for as long as this lives.
#pragma once

#include "py/python.hpp"

namespace bucle::py {

class Buffer {
  public:
    Buffer(PyObject* object, int flags) noexcept
        : held_(PyObject_GetBuffer(object, &view_, flags) == 0) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (held_) {
            PyBuffer_Release(&view_);
        }
    }
    explicit operator bool() const noexcept { return held_; } // false: an error is set
    void* data() const noexcept { return view_.buf; }
    Py_ssize_t size() const noexcept { return view_.len; }

  private:
    Py_buffer view_;
    bool held_;
};

} // namespace bucle::py
