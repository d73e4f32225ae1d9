// read, readline, readuntil, readexactly and `async for line in reader`: what the buffer has is
// returned at once, without a future; else the reader's one waiter stands in `_waiter`. Odd
// arguments (a size that is no plain int, a separator that is no bytes) and readers that are not
// plain go by asyncio's own code, on our attributes.
#include "streams/reader.hpp"

#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <algorithm>
#include <climits>

namespace bucle::streams {
namespace {

using core::Coroutine;
using core::Step;
using sync::by_twin;

using sync::kByTwin;
using sync::kStart;
enum Stage : std::uint8_t { kWaited = sync::kOwnStages, kWaitedForAll };

PyObject* self_of(const Coroutine& co) noexcept {
    return co.arguments[0].get();
}

Step wait_for_data(Coroutine& co, PyObject* function_name, std::uint8_t next) noexcept {
    Reader& reader = reader_of(self_of(co));
    if (reader.waiter) {
        PyErr_Format(PyExc_RuntimeError,
                     "%S() called while another coroutine is already waiting for incoming data",
                     function_name);
        return Step::fail;
    }
    if (reader.eof) {
        PyErr_SetString(PyExc_AssertionError, "_wait_for_data after EOF");
        return Step::fail;
    }
    // Waiting with the transport paused would last for ever.
    if (reader.paused && !resume(reader)) {
        return Step::fail;
    }
    const py::Ref loop = reader.loop.clone();
    py::Ref waiter = core::create_future(loop.get());
    if (!waiter) {
        return Step::fail;
    }
    reader.waiter = waiter.clone();
    py::Ref awaitable = core::awaitable_of(waiter.get());
    if (!awaitable) {
        reader.waiter.reset();
    }
    return co.wait(std::move(awaitable), next);
}

// False: the error is set.
bool end_wait(Reader& reader, py::Ref error) noexcept {
    reader.waiter.reset();
    if (error) {
        py::compat::put_exception(std::move(error));
        return false;
    }
    return true;
}

// `if self._exception is not None: raise self._exception`; true: there is none.
bool check_exception(const Reader& reader) noexcept {
    if (reader.exception) {
        raise_any(reader.exception.clone());
        return false;
    }
    return true;
}

bool is_size(PyObject* object, Py_ssize_t& size) noexcept {
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    size = PyLong_AsSsize_t(object);
    if (size == -1 && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        return false;
    }
    return true;
}

bool goes_by_twin(const Coroutine& co) noexcept {
    return co.stage == kStart ? !is_plain(self_of(co)) : co.stage == kByTwin;
}

// An odd size goes by it, too; any other is in `size`, at the start and after each wait.
bool goes_by_twin(const Coroutine& co, Py_ssize_t& size) noexcept {
    return goes_by_twin(co) || !is_size(co.arguments[1].get(), size);
}

// What was read, once the transport goes on if it may.
Step finish_read(Reader& reader, py::Ref data, py::Ref& result) noexcept {
    return data && maybe_resume(reader) ? core::finish_with(result, std::move(data)) : Step::fail;
}

py::Ref no_bytes() noexcept {
    return py::Ref::steal(PyBytes_FromStringAndSize(nullptr, 0));
}

bool keep_block(Coroutine& co, Reader& reader, py::Ref block) noexcept {
    return block && PyList_Append(co.kept.get(), block.get()) == 0 && maybe_resume(reader);
}

// The last block, an empty one, lets the transport go on like any other.
Step join_blocks(Coroutine& co, Reader& reader, py::Ref& result) noexcept {
    if (!maybe_resume(reader)) {
        return Step::fail;
    }
    const py::Ref nothing = no_bytes();
    return core::finish_with(
        result,
        nothing ? py::call_method(nothing.get(), py::names().join, co.kept.get()) : py::Ref());
}

// asyncio takes blocks of the limit. Only a transport that is to go on in between can tell.
py::Ref take_block(Reader& reader) noexcept {
    return reader.paused && reader.limit_value != Reader::kAskObject
               ? reader.buffer.take(reader.limit_value)
               : reader.buffer.take_all();
}

// read(-1)
Step read_all(Coroutine& co, py::Ref& result) noexcept {
    Reader& reader = reader_of(self_of(co));
    for (;;) {
        if (!check_exception(reader)) {
            return Step::fail;
        }
        const int empty = reader.buffer.empty();
        if (empty > 0) {
            // The limit of now: asyncio is inside read(limit) while it waits.
            co.number = static_cast<int>(std::min<Py_ssize_t>(reader.limit_value, INT_MAX));
            return reader.eof ? join_blocks(co, reader, result)
                              : wait_for_data(co, py::names().read, kWaitedForAll);
        }
        if (empty < 0 || !keep_block(co, reader, take_block(reader))) {
            return Step::fail;
        }
    }
}

// The block that was waited for is taken before anybody asks for an exception; when somebody else
// was faster there is none, which ends it.
Step go_on_reading_all(Coroutine& co, py::Ref& result) noexcept {
    Reader& reader = reader_of(self_of(co));
    const int empty = reader.buffer.empty();
    if (empty != 0) {
        return empty < 0 ? Step::fail : join_blocks(co, reader, result);
    }
    py::Ref block =
        co.number == Reader::kAskObject ? reader.buffer.take_all() : reader.buffer.take(co.number);
    return keep_block(co, reader, std::move(block)) ? read_all(co, result) : Step::fail;
}

Step read(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    Py_ssize_t size = 0;
    if (goes_by_twin(co, size)) [[unlikely]] {
        return by_twin(co, std::move(value), std::move(error), result);
    }
    Reader& reader = reader_of(self_of(co));
    if (co.stage != kStart) {
        if (!end_wait(reader, std::move(error))) {
            return Step::fail;
        }
        return co.stage == kWaited ? finish_read(reader, reader.buffer.take(size), result)
                                   : go_on_reading_all(co, result);
    }
    if (!check_exception(reader)) {
        return Step::fail;
    }
    if (size == 0) {
        return core::finish_with(result, no_bytes());
    }
    if (size < 0) {
        co.kept = py::Ref::steal(PyList_New(0));
        return co.kept ? read_all(co, result) : Step::fail;
    }
    const int empty = reader.eof ? 0 : reader.buffer.empty();
    if (empty != 0) {
        return empty < 0 ? Step::fail : wait_for_data(co, py::names().read, kWaited);
    }
    return finish_read(reader, reader.buffer.take(size), result);
}

Step fail_incomplete(Reader& reader, PyObject* expected) noexcept {
    const py::Ref partial = reader.buffer.take_all();
    py::Ref error =
        partial ? py::call(py::state().incomplete_read_error, partial.get(), expected) : py::Ref();
    if (error) {
        py::raise(std::move(error));
    }
    return Step::fail;
}

// Reads that many bytes if they are there; else waits, or fails at the end.
Step read_exactly(Coroutine& co, Py_ssize_t size, py::Ref& result) noexcept {
    Reader& reader = reader_of(self_of(co));
    const Py_ssize_t there = reader.buffer.size();
    if (there >= size) {
        return finish_read(reader, reader.buffer.take(size), result);
    }
    if (there < 0) {
        return Step::fail;
    }
    return reader.eof ? fail_incomplete(reader, co.arguments[1].get())
                      : wait_for_data(co, py::names().readexactly, kWaited);
}

Step readexactly(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    Py_ssize_t size = 0;
    if (goes_by_twin(co, size)) [[unlikely]] {
        return by_twin(co, std::move(value), std::move(error), result);
    }
    Reader& reader = reader_of(self_of(co));
    if (co.stage != kStart) {
        return end_wait(reader, std::move(error)) ? read_exactly(co, size, result) : Step::fail;
    }
    if (size < 0) {
        py::raise_value_error("readexactly size can not be less than zero");
        return Step::fail;
    }
    if (!check_exception(reader)) {
        return Step::fail;
    }
    return size == 0 ? core::finish_with(result, no_bytes()) : read_exactly(co, size, result);
}

// What readuntil() looks for: a bytes object, or a tuple of such. Odd ones are not valid.
class Separators {
  public:
    explicit Separators(PyObject* object) noexcept : object_(object) {
        if (PyTuple_CheckExact(object)) {
            valid_ = py::state().stream_rules.takes_tuples && PyTuple_GET_SIZE(object) != 0;
            for (Py_ssize_t i = 0; valid_ && i != PyTuple_GET_SIZE(object); ++i) {
                note(PyTuple_GET_ITEM(object, i));
            }
        } else {
            note(object);
        }
    }

    bool valid() const noexcept { return valid_ && shortest_ != 0; }
    Py_ssize_t shortest() const noexcept { return shortest_; }
    Py_ssize_t longest() const noexcept { return longest_; }

    // Of those that end first the shortest. False with an error set; `end` < 0: none is there.
    bool find(const Buffer& buffer, Py_ssize_t from, Py_ssize_t& begin,
              Py_ssize_t& end) const noexcept {
        begin = end = Buffer::kNotFound;
        if (PyBytes_CheckExact(object_)) [[likely]] {
            return find_one(buffer, object_, from, begin, end);
        }
        for (Py_ssize_t i = 0; i != PyTuple_GET_SIZE(object_); ++i) {
            if (!find_one(buffer, PyTuple_GET_ITEM(object_, i), from, begin, end)) {
                return false;
            }
        }
        return true;
    }

  private:
    void note(PyObject* separator) noexcept {
        if (!PyBytes_CheckExact(separator)) {
            valid_ = false;
            return;
        }
        const Py_ssize_t size = PyBytes_GET_SIZE(separator);
        shortest_ = shortest_ < 0 ? size : std::min(shortest_, size);
        longest_ = std::max(longest_, size);
    }

    static bool find_one(const Buffer& buffer, PyObject* separator, Py_ssize_t from,
                         Py_ssize_t& begin, Py_ssize_t& end) noexcept {
        const Py_ssize_t at = buffer.find(separator, from);
        if (at < 0) {
            return at == Buffer::kNotFound;
        }
        const Py_ssize_t past = at + PyBytes_GET_SIZE(separator);
        if (end < 0 || past < end || (past == end && at > begin)) {
            begin = at;
            end = past;
        }
        return true;
    }

    PyObject* object_;
    Py_ssize_t shortest_ = -1;
    Py_ssize_t longest_ = 0;
    bool valid_ = true;
};

// 1: over the limit, which is an error now, as -1 is.
int refuse_over_limit(const Reader& reader, Py_ssize_t size, const char* text) noexcept {
    const int over = exceeds_limit(reader, size);
    if (over <= 0) {
        return over;
    }
    const py::Ref message = py::Ref::steal(PyUnicode_FromString(text));
    const py::Ref consumed = py::Ref::steal(PyLong_FromSsize_t(size));
    py::Ref error = message && consumed
                        ? py::call(py::state().limit_overrun_error, message.get(), consumed.get())
                        : py::Ref();
    if (error) {
        py::raise(std::move(error));
    }
    return over;
}

// No separator begins before `offset`, which is kept while it waits.
Step read_until(Coroutine& co, PyObject* separator, Py_ssize_t offset, py::Ref& result) noexcept {
    Reader& reader = reader_of(self_of(co));
    const Separators separators(separator);
    const Py_ssize_t size = reader.buffer.size();
    if (size < 0) {
        return Step::fail;
    }
    if (size - offset >= separators.shortest()) {
        Py_ssize_t begin = 0, end = 0;
        if (!separators.find(reader.buffer, offset, begin, end)) {
            return Step::fail;
        }
        if (end >= 0) {
            if (refuse_over_limit(reader, begin,
                                  "Separator is found, but chunk is longer than limit") != 0) {
                return Step::fail;
            }
            return finish_read(reader, reader.buffer.take(end), result);
        }
        // One may have begun at the end.
        offset = std::max<Py_ssize_t>(0, size + 1 - separators.longest());
        if (refuse_over_limit(reader, offset,
                              "Separator is not found, and chunk exceed the limit") != 0) {
            return Step::fail;
        }
    }
    if (reader.eof) {
        return fail_incomplete(reader, Py_None);
    }
    co.kept = py::Ref::steal(PyLong_FromSsize_t(offset));
    return co.kept ? wait_for_data(co, py::names().readuntil, kWaited) : Step::fail;
}

Step go_on_until(Coroutine& co, PyObject* separator, py::Ref error, py::Ref& result) noexcept {
    return end_wait(reader_of(self_of(co)), std::move(error))
               ? read_until(co, separator, PyLong_AsSsize_t(co.kept.get()), result)
               : Step::fail;
}

Step readuntil(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const separator = co.arguments[1].get();
    const bool starts = co.stage == kStart;
    if (goes_by_twin(co) || (starts && !Separators(separator).valid())) [[unlikely]] {
        return by_twin(co, std::move(value), std::move(error), result);
    }
    if (!starts) {
        return go_on_until(co, separator, std::move(error), result);
    }
    return check_exception(reader_of(self_of(co))) ? read_until(co, separator, 0, result)
                                                   : Step::fail;
}

// A line that is too long: taken out, or all there is if it has no end yet. Raises ValueError.
Step drop_long_line(Reader& reader, py::Ref overrun) noexcept {
    const py::Ref consumed = py::get_attr(overrun.get(), py::names().consumed);
    const Py_ssize_t size = consumed ? PyLong_AsSsize_t(consumed.get()) : -1;
    if (size == -1 && PyErr_Occurred() != nullptr) {
        return core::fail_after(std::move(overrun));
    }
    const int ended = reader.buffer.has_at(py::state().newline, size);
    const bool dropped = ended > 0    ? reader.buffer.drop(size + 1)
                         : ended == 0 ? reader.buffer.drop_all()
                                      : false;
    const py::Ref args = dropped && maybe_resume(reader)
                             ? py::Ref::steal(PyObject_GetAttrString(overrun.get(), "args"))
                             : py::Ref();
    const py::Ref message = args ? py::Ref::steal(PySequence_GetItem(args.get(), 0)) : py::Ref();
    if (message) {
        PyErr_SetObject(PyExc_ValueError, message.get());
    }
    py::Ref error = py::compat::take_exception();
    py::set_context(error.get(), overrun.get());
    return core::fail_with(std::move(error));
}

// readuntil(b"\n") has failed: what that means for readline().
Step end_line(Coroutine& co, py::Ref& result) noexcept {
    const py::State& state = py::state();
    py::Ref error = py::compat::take_exception();
    if (PyErr_GivenExceptionMatches(error.get(), state.incomplete_read_error) != 0) {
        return core::finish_with(result, py::get_attr(error.get(), py::names().partial));
    }
    if (PyErr_GivenExceptionMatches(error.get(), state.limit_overrun_error) != 0) {
        return drop_long_line(reader_of(self_of(co)), std::move(error));
    }
    return core::fail_with(std::move(error));
}

// Not for what goes by the twin.
Step read_line(Coroutine& co, py::Ref error, py::Ref& result) noexcept {
    PyObject* const newline = py::state().newline;
    Step step = Step::fail;
    if (co.stage != kStart) {
        step = go_on_until(co, newline, std::move(error), result);
    } else if (check_exception(reader_of(self_of(co)))) {
        step = read_until(co, newline, 0, result);
    }
    return step == Step::fail ? end_line(co, result) : step;
}

Step readline(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    return goes_by_twin(co) ? by_twin(co, std::move(value), std::move(error), result)
                            : read_line(co, std::move(error), result);
}

Step next_line(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (goes_by_twin(co)) {
        return by_twin(co, std::move(value), std::move(error), result);
    }
    const Step step = read_line(co, std::move(error), result);
    if (step == Step::finish && PyBytes_CheckExact(result.get()) &&
        PyBytes_GET_SIZE(result.get()) == 0) {
        result.reset();
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return Step::fail;
    }
    return step;
}

// The method itself, for asyncio's own functions.
Step wait_for_data_method(Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (co.stage == kStart) {
        return wait_for_data(co, co.arguments[1].get(), kWaited);
    }
    return end_wait(reader_of(self_of(co)), std::move(error)) ? core::finish_with_none(result)
                                                              : Step::fail;
}

} // namespace

void raise_any(py::Ref error) noexcept {
    if (PyExceptionClass_Check(error.get())) {
        error = py::call(error.get());
    }
    if (error && !PyExceptionInstance_Check(error.get())) {
        py::raise_type_error("exceptions must derive from BaseException");
    } else if (error) {
        py::raise(std::move(error));
    }
}

const py::FunctionRow reading_functions[] = {
    core::async_row("read", read),
    core::async_row("readline", readline),
    core::async_row("readuntil", readuntil),
    core::async_row("readexactly", readexactly),
    core::async_row("__anext__", next_line),
    core::async_row("_wait_for_data", wait_for_data_method),
    {nullptr, nullptr},
};

bool make_newline() noexcept {
    py::state().newline = PyBytes_FromString("\n");
    return py::state().newline != nullptr;
}

} // namespace bucle::streams
