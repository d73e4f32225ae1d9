// See reader.hpp: feeding, what Python sees, and making the type.
#include "streams/reader.hpp"

#include "core/any_future.hpp"
#include "core/future.hpp"
#include "core/scheduler.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "streams/streams.hpp"
#include "sync/waiting.hpp"

namespace bucle::streams {
namespace {

constexpr Py_ssize_t kDefaultLimit = Py_ssize_t{1} << 16;
// So that twice a limit is a number, too.
constexpr Py_ssize_t kSensibleLimit = Py_ssize_t{1} << 60;

using py::none_if;

// A negative limit, which only a program can have put there, goes by asyncio's own code as well.
void set_limit(Reader& reader, PyObject* limit) noexcept {
    reader.limit_value = Reader::kAskObject;
    if (PyLong_CheckExact(limit)) {
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(limit, &overflow);
        if (overflow == 0 && value >= 0 && value < kSensibleLimit) {
            reader.limit_value = static_cast<Py_ssize_t>(value);
        }
    }
    reader.limit = py::Ref::borrow(limit);
}

bool assertion_failed(const char* text) noexcept {
    PyErr_SetString(PyExc_AssertionError, text);
    return false;
}

// self._wakeup_waiter()
bool wake_up(Reader& reader) noexcept {
    const py::Ref waiter = std::move(reader.waiter);
    if (!waiter) [[likely]] {
        return true;
    }
    const int cancelled = core::is_cancelled(waiter.get());
    return cancelled > 0 || (cancelled == 0 && core::set_result_of(waiter.get(), Py_None));
}

bool pause(Reader& reader) noexcept {
    const py::Ref transport = reader.transport.clone();
    if (py::call_method(transport.get(), py::names().pause_reading)) {
        reader.paused = true;
        return true;
    }
    if (!PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
        return false;
    }
    PyErr_Clear();
    reader.transport.reset(); // it cannot be paused, and is not asked again
    return true;
}

// What feed_data() does once the buffer has them.
bool has_grown(Reader& reader) noexcept {
    if (!wake_up(reader)) {
        return false;
    }
    if (!reader.transport || reader.paused) {
        return true;
    }
    const Py_ssize_t size = reader.buffer.size();
    return size >= 0 && (size <= 2 * reader.limit_value || pause(reader));
}

// What `bytearray.extend(data)` takes, and refuses.
py::Ref as_bytes(PyObject* data) noexcept {
    const py::Ref array = py::Ref::steal(PyByteArray_FromStringAndSize(nullptr, 0));
    return array && py::call_method(array.get(), py::names().extend, data)
               ? py::Ref::steal(PyBytes_FromObject(array.get()))
               : py::Ref();
}

bool feed_object(Reader& reader, PyObject* data) noexcept {
    if (reader.eof) {
        return assertion_failed("feed_data after feed_eof");
    }
    const int given = PyObject_IsTrue(data);
    if (given <= 0) {
        return given == 0;
    }
    if (PyBytes_CheckExact(data)) [[likely]] {
        return reader.buffer.append(data) && has_grown(reader);
    }
    const py::Ref bytes = as_bytes(data);
    return bytes && reader.buffer.append(bytes.get()) && has_grown(reader);
}

bool end(Reader& reader) noexcept {
    reader.eof = true;
    return wake_up(reader);
}

bool fail(Reader& reader, PyObject* error) noexcept {
    reader.exception = error == Py_None ? py::Ref() : py::Ref::borrow(error);
    const py::Ref waiter = std::move(reader.waiter);
    if (!waiter) {
        return true;
    }
    const int cancelled = core::is_cancelled(waiter.get());
    if (cancelled != 0) {
        return cancelled > 0;
    }
    return core::set_exception_of(waiter.get(), error);
}

bool put_transport(Reader& reader, PyObject* transport) noexcept {
    if (reader.transport) {
        return assertion_failed("Transport already set");
    }
    reader.transport = transport == Py_None ? py::Ref() : py::Ref::borrow(transport);
    return true;
}

} // namespace

bool feed(PyObject* reader, const char* data, std::size_t size) noexcept {
    if (!is_fed_natively(reader) || !is_plain(reader) || reader_of(reader).eof) {
        const py::Ref bytes =
            py::Ref::steal(PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size)));
        return bytes && feed_bytes(reader, bytes.get());
    }
    Reader& fields = reader_of(reader);
    return size == 0 ||
           (fields.buffer.append(data, static_cast<Py_ssize_t>(size)) && has_grown(fields));
}

bool feed_bytes(PyObject* reader, PyObject* data) noexcept {
    return is_fed_natively(reader) && is_plain(reader)
               ? feed_object(reader_of(reader), data)
               : static_cast<bool>(py::call_method(reader, py::names().feed_data, data));
}

bool feed_eof(PyObject* reader) noexcept {
    return is_fed_natively(reader)
               ? end(reader_of(reader))
               : static_cast<bool>(py::call_method(reader, py::names().feed_eof));
}

bool set_exception(PyObject* reader, PyObject* error) noexcept {
    return is_fed_natively(reader)
               ? fail(reader_of(reader), error)
               : static_cast<bool>(py::call_method(reader, py::names().set_exception, error));
}

bool set_transport(PyObject* reader, PyObject* transport) noexcept {
    return is_fed_natively(reader)
               ? put_transport(reader_of(reader), transport)
               : static_cast<bool>(py::call_method(reader, py::names().set_transport, transport));
}

py::Ref exception_of(PyObject* reader) noexcept {
    return is_fed_natively(reader)
               ? py::Ref::steal(py::value_or_none(reader_of(reader).exception.get()))
               : py::call_method(reader, py::names().exception);
}

int exceeds_limit(const Reader& reader, Py_ssize_t size) noexcept {
    if (reader.limit_value != Reader::kAskObject) [[likely]] {
        return size > reader.limit_value ? 1 : 0;
    }
    const py::Ref limit = py::Ref::steal(py::value_or_none(reader.limit.get()));
    const py::Ref number = py::Ref::steal(PyLong_FromSsize_t(size));
    return number ? PyObject_RichCompareBool(number.get(), limit.get(), Py_GT) : -1;
}

bool resume(Reader& reader) noexcept {
    reader.paused = false;
    const py::Ref transport = py::Ref::steal(py::value_or_none(reader.transport.get()));
    return static_cast<bool>(py::call_method(transport.get(), py::names().resume_reading));
}

bool maybe_resume(Reader& reader) noexcept {
    if (!reader.paused) [[likely]] {
        return true;
    }
    const Py_ssize_t size = reader.buffer.size();
    const int full = size < 0 ? -1 : exceeds_limit(reader, size);
    return full > 0 || (full == 0 && resume(reader));
}

namespace {

// What a constructor does with a limit before anything else.
bool check_limit(PyObject* limit) noexcept {
    if (PyLong_CheckExact(limit)) {
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(limit, &overflow);
        if (overflow > 0 || (overflow == 0 && value > 0)) {
            return true;
        }
    }
    const py::Ref answer = py::Ref::steal(PyObject_RichCompare(limit, py::state().zero, Py_LE));
    const int refused = answer ? PyObject_IsTrue(answer.get()) : -1;
    if (refused > 0) {
        py::raise_value_error("Limit cannot be <= 0");
    }
    return refused == 0;
}

// In debug mode a reader remembers where it was made.
bool note_origin(PyObject* self, PyObject* loop) noexcept {
    bool failed = false;
    const bool debug = core::debug_of(loop, failed);
    if (failed || !debug) {
        return !failed;
    }
    const py::Ref stack = py::call(py::state().extract_stack);
    return stack && PyObject_SetAttr(self, py::names()._source_traceback, stack.get()) == 0;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    PyObject* const self = args[0];
    if (!check_limit(args[1])) {
        return nullptr;
    }
    Reader& reader = reader_of(self);
    set_limit(reader, args[1]);
    py::Ref loop =
        args[2] == Py_None ? py::call(py::state().get_event_loop) : py::Ref::borrow(args[2]);
    if (!loop) {
        return nullptr;
    }
    reader.loop = loop.clone();
    reader.buffer.replace(nullptr);
    reader.eof = reader.paused = false;
    reader.waiter.reset();
    reader.exception.reset();
    reader.transport.reset();
    return none_if(note_origin(self, loop.get()));
}

PyObject* feed_data_method(py::Function& function, PyObject* const* args) noexcept {
    return is_plain(args[0]) ? none_if(feed_object(reader_of(args[0]), args[1]))
                             : sync::call_twin(function, args);
}

PyObject* feed_eof_method(py::Function& function, PyObject* const* args) noexcept {
    return acts_natively(args[0]) ? none_if(end(reader_of(args[0])))
                                  : sync::call_twin(function, args);
}

PyObject* at_eof(py::Function&, PyObject* const* args) noexcept {
    const Reader& reader = reader_of(args[0]);
    const int at_end = reader.eof ? reader.buffer.empty() : 0;
    return at_end < 0 ? nullptr : PyBool_FromLong(at_end);
}

PyObject* exception_method(py::Function&, PyObject* const* args) noexcept {
    return py::value_or_none(reader_of(args[0]).exception.get());
}

PyObject* set_exception_method(py::Function&, PyObject* const* args) noexcept {
    return none_if(fail(reader_of(args[0]), args[1]));
}

PyObject* set_transport_method(py::Function&, PyObject* const* args) noexcept {
    return none_if(put_transport(reader_of(args[0]), args[1]));
}

PyObject* replace_transport(py::Function&, PyObject* const* args) noexcept {
    Reader& reader = reader_of(args[0]);
    if (!reader.transport) {
        return none_if(assertion_failed("Transport not set"));
    }
    reader.transport = args[1] == Py_None ? py::Ref() : py::Ref::borrow(args[1]);
    Py_RETURN_NONE;
}

PyObject* wakeup_waiter(py::Function&, PyObject* const* args) noexcept {
    return none_if(wake_up(reader_of(args[0])));
}

PyObject* maybe_resume_transport(py::Function&, PyObject* const* args) noexcept {
    return none_if(maybe_resume(reader_of(args[0])));
}

PyObject* aiter(py::Function&, PyObject* const* args) noexcept {
    return py::new_ref(args[0]);
}

// text += more; `more` null: an error is set.
bool append(py::Ref& text, PyObject* more) noexcept {
    const py::Ref tail = py::Ref::steal(more);
    text = tail && text ? py::Ref::steal(PyUnicode_Concat(text.get(), tail.get())) : py::Ref();
    return static_cast<bool>(text);
}

// " name=value" of what is there and true.
bool append_object(py::Ref& text, const char* name, const py::Ref& value) noexcept {
    const py::Ref held = value.clone();
    const int shown = held ? PyObject_IsTrue(held.get()) : 0;
    return shown == 0 ||
           (shown > 0 && append(text, PyUnicode_FromFormat(" %s=%R", name, held.get())));
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Reader& reader = reader_of(args[0]);
    py::Ref text = py::Ref::steal(PyUnicode_FromString("<StreamReader"));
    const Py_ssize_t size = reader.buffer.size();
    if (size < 0 || (size > 0 && !append(text, PyUnicode_FromFormat(" %zd bytes", size))) ||
        (reader.eof && !append(text, PyUnicode_FromString(" eof")))) {
        return nullptr;
    }
    if (reader.limit_value != kDefaultLimit && reader.limit &&
        !append(text, PyUnicode_FromFormat(" limit=%S", reader.limit.get()))) {
        return nullptr;
    }
    return append_object(text, "waiter", reader.waiter) &&
                   append_object(text, "exception", reader.exception) &&
                   append_object(text, "transport", reader.transport) &&
                   append(text, PyUnicode_FromString(reader.paused ? " paused>" : ">"))
               ? text.release()
               : nullptr;
}

PyObject* get_limit(PyObject* self, void*) noexcept {
    return py::value_or_none(reader_of(self).limit.get());
}

int set_limit_attribute(PyObject* self, PyObject* value, void*) noexcept {
    set_limit(reader_of(self), value == nullptr ? Py_None : value);
    return 0;
}

PyObject* get_buffer(PyObject* self, void*) noexcept {
    return reader_of(self).buffer.as_python().release();
}

int set_buffer(PyObject* self, PyObject* value, void*) noexcept {
    reader_of(self).buffer.replace(value);
    return 0;
}

using R = Reader;

PyGetSetDef kAttributes[] = {
    {"_limit", get_limit, set_limit_attribute, nullptr, nullptr},
    sync::optional_property<R, &R::loop>("_loop"),
    {"_buffer", get_buffer, set_buffer, nullptr, nullptr},
    sync::property<R, &R::eof>("_eof"),
    sync::optional_property<R, &R::waiter>("_waiter"),
    sync::optional_property<R, &R::exception>("_exception"),
    sync::optional_property<R, &R::transport>("_transport"),
    sync::property<R, &R::paused>("_paused"),
    {"__dict__", sync::get_dict, sync::set_dict, nullptr, kAttributes},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", repr},
    {"__aiter__", aiter},
    {"feed_data", feed_data_method},
    {"feed_eof", feed_eof_method},
    {"at_eof", at_eof},
    {"exception", exception_method},
    {"set_exception", set_exception_method},
    {"set_transport", set_transport_method},
    {"_replace_transport", replace_transport},
    {"_wakeup_waiter", wakeup_waiter},
    {"_maybe_resume_transport", maybe_resume_transport},
    {nullptr, nullptr},
};

} // namespace

bool make_reader_type(PyObject* module) noexcept {
    py::State& state = py::state();
    state.stream_rules.takes_tuples =
        py::twin_mentions("asyncio.streams", "StreamReader.readuntil", "sorted");
    sync::PrimitiveRecipe recipe = {"bucle.StreamReader", "asyncio.StreamReader, native.",
                                    "asyncio.streams"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    state.stream_reader_type = sync::make_primitive<Reader>(module, recipe);
    return state.stream_reader_type != nullptr &&
           py::add_functions(state.stream_reader_type,
                             reinterpret_cast<PyObject*>(state.stream_reader_type->tp_base),
                             reading_functions) &&
           make_newline() && remember_native_hooks();
}

} // namespace bucle::streams
