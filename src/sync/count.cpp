// See count.hpp.
#include "sync/count.hpp"

#include "py/call.hpp"

namespace bucle::sync {
namespace {

// Far from where doubling could overflow, however often 1 is added.
constexpr Py_ssize_t kLimit = Py_ssize_t{1} << 60;

bool compare_native(Py_ssize_t left, Py_ssize_t right, int op) noexcept {
    switch (op) {
    case Py_LT:
        return left < right;
    case Py_EQ:
        return left == right;
    case Py_GT:
        return left > right;
    default:
        return left >= right;
    }
}

} // namespace

void Count::replace(std::intptr_t word) noexcept {
    PyObject* const old = native() ? nullptr : object();
    word_ = word;
    py::drop(old);
}

void Count::assign(PyObject* value) noexcept {
    if (PyLong_CheckExact(value)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow == 0 && number < kLimit && number > -kLimit) {
            replace(pack(static_cast<Py_ssize_t>(number)));
            return;
        }
    }
    replace(reinterpret_cast<std::intptr_t>(py::new_ref(value)));
}

py::Ref Count::as_python() const noexcept {
    if (missing()) {
        PyErr_SetString(PyExc_AttributeError, "the attribute was never set");
        return {};
    }
    return native() ? py::Ref::steal(PyLong_FromSsize_t(value())) : py::Ref::borrow(object());
}

bool Count::add(int amount) noexcept {
    if (native()) [[likely]] {
        word_ = pack(value() + amount);
        return true;
    }
    const py::Ref old = as_python();
    const py::Ref other = old ? py::Ref::steal(PyLong_FromLong(amount)) : py::Ref();
    const py::Ref sum =
        other ? py::Ref::steal(PyNumber_InPlaceAdd(old.get(), other.get())) : py::Ref();
    if (sum) {
        assign(sum.get());
    }
    return static_cast<bool>(sum);
}

int Count::compare(Py_ssize_t other, int op) const noexcept {
    if (native()) [[likely]] {
        return compare_native(value(), other, op) ? 1 : 0;
    }
    Count wrapped;
    wrapped.word_ = pack(other);
    return compare(wrapped, op);
}

int Count::compare(const Count& other, int op) const noexcept {
    if (native() && other.native()) [[likely]] {
        return compare_native(value(), other.value(), op) ? 1 : 0;
    }
    const py::Ref left = as_python();
    const py::Ref right = left ? other.as_python() : py::Ref();
    // Not RichCompareBool, which takes identity for equality.
    return left && right
               ? py::truth_of(py::Ref::steal(PyObject_RichCompare(left.get(), right.get(), op)))
               : -1;
}

} // namespace bucle::sync
