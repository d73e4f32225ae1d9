// Count: the value of a semaphore, the parties of a barrier. Nearly always a small int, which
// stands in the word itself; asyncio takes whatever can be compared and added: that is kept as an
// object. Where none was set it is missing, which only the way of the objects has to find out.
#pragma once

#include "py/ref.hpp"

namespace bucle::sync {

class Count {
  public:
    Count() noexcept = default;
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
    ~Count() { clear(); }

    // One that __init__ has not set yet.
    enum Missing { kMissing };
    explicit Count(Missing) noexcept : word_(0) {}
    bool missing() const noexcept { return word_ == 0; }
    void remove() noexcept { replace(0); }

    void assign(PyObject* value) noexcept;
    // Null with an AttributeError set where it is missing, as the next three fail then.
    py::Ref as_python() const noexcept;
    // False with an error set.
    [[nodiscard]] bool add(int amount) noexcept;
    // `*this op other`, op as in Py_LT; -1 with an error set.
    [[nodiscard]] int compare(Py_ssize_t other, int op) const noexcept;
    [[nodiscard]] int compare(const Count& other, int op) const noexcept;

    int visit(visitproc visitor, void* arg) const noexcept {
        return native() || missing() ? 0 : visitor(object(), arg);
    }
    void clear() noexcept { replace(pack(0)); }

  private:
    static std::intptr_t pack(Py_ssize_t value) noexcept { return value * 2 + 1; }
    bool native() const noexcept { return (word_ & 1) != 0; }
    Py_ssize_t value() const noexcept { return word_ >> 1; }
    PyObject* object() const noexcept { return reinterpret_cast<PyObject*>(word_); }
    void replace(std::intptr_t word) noexcept;

    std::intptr_t word_ = 1; // an int's double and 1, or the address of an owned object, or 0
};

} // namespace bucle::sync
