// See buffer.hpp. Dropping a chunk runs no Python code: it is exactly a bytes object.
#include "streams/buffer.hpp"

#include "py/call.hpp"
#include "py/state.hpp"

#include <algorithm>
#include <cstring>

namespace bucle::streams {
namespace {

// From here on a chunk is worth an object of its own.
constexpr Py_ssize_t kLarge = 4096;

py::Ref bytes_of(const char* data, Py_ssize_t size) noexcept {
    return py::Ref::steal(PyBytes_FromStringAndSize(data, size));
}

} // namespace

// An emptied bytearray that only we know of need not be one any longer.
void Buffer::settle() noexcept {
    if (!native() && PyByteArray_CheckExact(object_.get()) &&
        PyByteArray_GET_SIZE(object_.get()) == 0 && py::is_sole_owner(object_.get())) {
        object_.reset();
    }
}

bool Buffer::push(py::Ref bytes, Py_ssize_t filled) noexcept {
    if (!bytes) {
        return false;
    }
    const Chunk made = {bytes.get(), 0, filled};
    if (size_ == 0) {
        first_ = made;
    } else if (!more_.push_back(made)) {
        PyErr_NoMemory();
        return false;
    }
    (void)bytes.release();
    size_ += filled;
    return true;
}

// How much of it fits behind the last chunk, and is there now.
Py_ssize_t Buffer::fill_last(const char* data, Py_ssize_t size) noexcept {
    if (size_ == 0) {
        return 0;
    }
    const Chunk last = chunk(chunks() - 1);
    const Py_ssize_t fits = std::min(size, PyBytes_GET_SIZE(last.bytes) - last.end);
    if (fits != 0) {
        std::memcpy(PyBytes_AS_STRING(last.bytes) + last.end, data, static_cast<std::size_t>(fits));
        if (more_.empty()) {
            first_.end += fits;
        } else {
            more_.back().end += fits;
        }
        size_ += fits;
    }
    return fits;
}

bool Buffer::push_copy(const char* data, Py_ssize_t size) noexcept {
    const Py_ssize_t filled = fill_last(data, size);
    const Py_ssize_t left = size - filled;
    if (left == 0) {
        return true;
    }
    py::Ref block = bytes_of(nullptr, kLarge);
    if (block) {
        std::memcpy(PyBytes_AS_STRING(block.get()), data + filled, static_cast<std::size_t>(left));
    }
    return push(std::move(block), left);
}

bool Buffer::append(PyObject* bytes) noexcept {
    settle();
    if (!native()) {
        return static_cast<bool>(py::call_method(object_.clone().get(), py::names().extend, bytes));
    }
    const Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    if (size == 0) {
        return true;
    }
    return size_ == 0 || size >= kLarge ? push(py::Ref::borrow(bytes), size)
                                        : push_copy(PyBytes_AS_STRING(bytes), size);
}

bool Buffer::append(const char* data, Py_ssize_t size) noexcept {
    settle();
    if (!native()) {
        const py::Ref bytes = bytes_of(data, size);
        return bytes && py::call_method(object_.clone().get(), py::names().extend, bytes.get());
    }
    return size_ == 0 || size >= kLarge ? push(bytes_of(data, size), size) : push_copy(data, size);
}

void Buffer::pop() noexcept {
    py::drop(first_.bytes);
    if (more_.empty()) {
        first_ = {};
        return;
    }
    first_ = more_.pop_front();
    if (more_.empty()) {
        more_ = {};
    }
}

// Takes `count` bytes, no more than there are, off the front; `into` may be null.
void Buffer::consume(Py_ssize_t count, char* into) noexcept {
    size_ -= count;
    while (count != 0) {
        const Py_ssize_t part = std::min(count, first_.size());
        if (into != nullptr) {
            std::memcpy(into, first_.data(), static_cast<std::size_t>(part));
            into += part;
        }
        count -= part;
        first_.begin += part;
        if (first_.begin == first_.end) {
            pop();
        }
    }
}

py::Ref Buffer::take(Py_ssize_t count) noexcept {
    if (!native()) {
        const py::Ref object = object_.clone();
        const py::Ref slice = py::Ref::steal(PySequence_GetSlice(object.get(), 0, count));
        py::Ref bytes = slice ? py::Ref::steal(PyBytes_FromObject(slice.get())) : py::Ref();
        return bytes && PySequence_DelSlice(object.get(), 0, count) == 0 ? std::move(bytes)
                                                                         : py::Ref();
    }
    count = std::min(count, size_);
    // Room behind the end is none of the content.
    if (count != 0 && first_.begin == 0 && count == first_.end &&
        count == PyBytes_GET_SIZE(first_.bytes)) {
        py::Ref whole = py::Ref::borrow(first_.bytes);
        consume(count, nullptr);
        return whole;
    }
    py::Ref bytes = bytes_of(nullptr, count);
    if (bytes) {
        consume(count, PyBytes_AS_STRING(bytes.get()));
    }
    return bytes;
}

py::Ref Buffer::take_all() noexcept {
    const Py_ssize_t all = size();
    return all < 0 ? py::Ref() : take(all);
}

bool Buffer::drop(Py_ssize_t count) noexcept {
    if (!native()) {
        const py::Ref object = object_.clone();
        return PySequence_DelSlice(object.get(), 0, count) == 0;
    }
    consume(std::min(count, size_), nullptr);
    return true;
}

bool Buffer::drop_all() noexcept {
    if (!native()) {
        return static_cast<bool>(py::call_method(object_.clone().get(), py::names().clear));
    }
    consume(size_, nullptr);
    return true;
}

// Whether `text` stands at a place of a chunk, and goes on in the next ones.
bool Buffer::matches(std::size_t place, Py_ssize_t at, const char* text,
                     Py_ssize_t size) const noexcept {
    for (; size != 0 && place != chunks(); ++place, at = 0) {
        const Chunk here = chunk(place);
        const Py_ssize_t part = std::min(size, here.size() - at);
        if (std::memcmp(here.data() + at, text, static_cast<std::size_t>(part)) != 0) {
            return false;
        }
        text += part;
        size -= part;
    }
    return size == 0;
}

Py_ssize_t Buffer::find(PyObject* separator, Py_ssize_t from) const noexcept {
    if (!native()) {
        const py::Ref object = object_.clone();
        const py::Ref start = py::Ref::steal(PyLong_FromSsize_t(from));
        const py::Ref found =
            start ? py::call_method(object.get(), py::names().find, separator, start.get())
                  : py::Ref();
        const Py_ssize_t at = found ? PyLong_AsSsize_t(found.get()) : kNotFound;
        return at == kNotFound && PyErr_Occurred() != nullptr ? kError : at;
    }
    const char* const text = PyBytes_AS_STRING(separator);
    const Py_ssize_t length = PyBytes_GET_SIZE(separator);
    Py_ssize_t passed = 0; // in the chunks before
    for (std::size_t place = 0; place != chunks(); ++place) {
        const Chunk here = chunk(place);
        const char* const data = here.data();
        const Py_ssize_t size = here.size();
        Py_ssize_t at = std::max<Py_ssize_t>(from - passed, 0);
        if (at < size) {
            const auto room = static_cast<std::size_t>(size - at);
            const void* const hit =
                length == 1 ? std::memchr(data + at, *text, room)
                            : ::memmem(data + at, room, text, static_cast<std::size_t>(length));
            if (hit != nullptr) {
                return passed + (static_cast<const char*>(hit) - data);
            }
            // It may begin here and end in the next.
            for (at = std::max(at, size - length + 1); at < size; ++at) {
                if (matches(place, at, text, length)) {
                    return passed + at;
                }
            }
        }
        passed += size;
    }
    return kNotFound;
}

int Buffer::has_at(PyObject* separator, Py_ssize_t at) const noexcept {
    if (!native()) {
        const py::Ref object = object_.clone();
        const py::Ref start = py::Ref::steal(PyLong_FromSsize_t(at));
        const py::Ref answer =
            start ? py::call_method(object.get(), py::names().startswith, separator, start.get())
                  : py::Ref();
        return answer ? PyObject_IsTrue(answer.get()) : -1;
    }
    for (std::size_t place = 0; place != chunks(); ++place) {
        const Py_ssize_t size = chunk(place).size();
        if (at < size) {
            return matches(place, at, PyBytes_AS_STRING(separator), PyBytes_GET_SIZE(separator))
                       ? 1
                       : 0;
        }
        at -= size;
    }
    return 0;
}

py::Ref Buffer::as_python() noexcept {
    if (native()) {
        py::Ref made = py::Ref::steal(PyByteArray_FromStringAndSize(nullptr, size_));
        if (!made) {
            return made;
        }
        consume(size_, PyByteArray_AS_STRING(made.get()));
        object_ = std::move(made);
    }
    return object_.clone();
}

void Buffer::replace(PyObject* object) noexcept {
    consume(size_, nullptr);
    const py::Ref old = std::move(object_);
    object_ = py::Ref::borrow(object);
}

} // namespace bucle::streams
