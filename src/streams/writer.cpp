// StreamWriter: passes on to the transport; drain() waits while the protocol is paused, and when
// there is nothing to wait for it costs no future. An open one that dies closes its transport and
// says so, in asyncio's own words: that is left to asyncio's function.
#include "streams/writer.hpp"

#include "core/any_future.hpp"
#include "core/awaiting.hpp"
#include "core/future.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "streams/protocol.hpp"
#include "streams/reader.hpp"
#include "streams/streams.hpp"

namespace bucle::streams {
namespace {

struct Writer {
    py::Ref transport; // null in the following: None
    py::Ref protocol;
    py::Ref reader;
    py::Ref loop;
    py::Ref complete; // made when somebody asks: nothing does

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&transport, &protocol, &reader, &loop, &complete}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return 0;
    }
    void clear() noexcept {
        for (py::Ref* ref : {&transport, &protocol, &reader, &loop, &complete}) {
            ref->reset();
        }
    }
};

Writer& writer_of(PyObject* self) noexcept {
    return sync::core_of<Writer>(self);
}

// A member to call methods of.
py::Ref held(const py::Ref& member) noexcept {
    return py::Ref::steal(py::value_or_none(member.get()));
}

// self._transport.name(...)
template <class... Args>
py::Ref ask_transport(PyObject* self, PyObject* name, Args*... args) noexcept {
    const py::Ref transport = held(writer_of(self).transport);
    return py::call_method(transport.get(), name, args...);
}

int is_closing(PyObject* self) noexcept {
    const py::Ref answer = ask_transport(self, py::names().is_closing);
    return answer ? PyObject_IsTrue(answer.get()) : -1;
}

enum Stage : std::uint8_t { kStart, kTurned, kDrained, kEnded };

core::Step drain_protocol(core::Coroutine& co, py::Ref& result) noexcept {
    const py::Ref protocol = held(writer_of(co.arguments[0].get()).protocol);
    if (is_exact_protocol(protocol.get())) [[likely]] {
        return drain(co, protocol.get(), co.arguments[1], kDrained, result);
    }
    const py::Ref helper = py::call_method(protocol.get(), py::names()._drain_helper);
    return co.wait(helper ? core::awaitable_of(helper.get()) : py::Ref(), kEnded);
}

core::Step drain_method(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (co.stage == kDrained) {
        return end_drain(co, co.arguments[1].get(), std::move(error), result);
    }
    if (error) {
        return core::fail_with(std::move(error));
    }
    if (co.stage == kEnded) {
        return core::finish_with_none(result);
    }
    if (co.stage == kStart) {
        const py::Ref reader = writer_of(self).reader.clone();
        py::Ref failure = reader ? exception_of(reader.get()) : py::none();
        if (!failure) {
            return core::Step::fail;
        }
        if (failure.get() != Py_None) {
            raise_any(std::move(failure));
            return core::Step::fail;
        }
        const int closing = is_closing(self);
        if (closing != 0) {
            // A turn of the loop, in which the protocol may be told that the connection is lost.
            return closing < 0 ? core::Step::fail : co.yield(kTurned);
        }
    }
    return drain_protocol(co, result);
}

core::Step wait_closed(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (error) {
        return core::fail_with(std::move(error));
    }
    if (co.stage != kStart) {
        return core::finish_with_none(result);
    }
    const py::Ref protocol = held(writer_of(co.arguments[0].get()).protocol);
    const py::Ref closed =
        py::call_method(protocol.get(), py::names()._get_close_waiter, co.arguments[0].get());
    return co.wait(closed ? core::awaitable_of(closed.get()) : py::Ref(), kEnded);
}

// More arguments than a native coroutine keeps, and once a connection: asyncio's own.
PyObject* start_tls(py::Function& function, PyObject* const* args) noexcept {
    const py::Ref keywords = py::Ref::steal(PyTuple_GetSlice(
        function.names, function.positional, function.positional + function.keyword_only));
    return keywords ? PyObject_Vectorcall(function.twin, args, function.positional, keywords.get())
                    : nullptr;
}

PyObject* init(py::Function&, PyObject* const* args) noexcept {
    Writer& writer = writer_of(args[0]);
    writer.transport = py::Ref::borrow(args[1]);
    writer.protocol = py::Ref::borrow(args[2]);
    PyObject* const reader = args[3];
    if (reader != Py_None) {
        auto* const type = reinterpret_cast<PyObject*>(py::state().stream_reader_type);
        const int is_one = PyObject_IsInstance(reader, type);
        if (is_one <= 0) {
            if (is_one == 0) {
                PyErr_SetNone(PyExc_AssertionError);
            }
            return nullptr;
        }
    }
    writer.reader = reader == Py_None ? py::Ref() : py::Ref::borrow(reader);
    writer.loop = py::Ref::borrow(args[4]);
    writer.complete.reset();
    Py_RETURN_NONE;
}

PyObject* write(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().write, args[1]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* writelines(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().writelines, args[1]) ? py::new_ref(Py_None) : nullptr;
}

PyObject* write_eof(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().write_eof).release();
}

PyObject* can_write_eof(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().can_write_eof).release();
}

PyObject* close(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().close).release();
}

PyObject* is_closing_method(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().is_closing).release();
}

PyObject* get_extra_info(py::Function&, PyObject* const* args) noexcept {
    return ask_transport(args[0], py::names().get_extra_info, args[1], args[2]).release();
}

PyObject* repr(py::Function&, PyObject* const* args) noexcept {
    const Writer& writer = writer_of(args[0]);
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(args[0])));
    const py::Ref transport = held(writer.transport);
    const py::Ref reader = writer.reader.clone();
    if (!name) {
        return nullptr;
    }
    return reader ? PyUnicode_FromFormat("<%U transport=%R reader=%R>", name.get(), transport.get(),
                                         reader.get())
                  : PyUnicode_FromFormat("<%U transport=%R>", name.get(), transport.get());
}

void finalize(PyObject* self) noexcept {
    if (!writer_of(self).transport) { // its constructor failed
        return;
    }
    const py::ErrorScope keep;
    const int closing = is_closing(self);
    if (closing < 0 || (closing == 0 && !py::call(py::state().writer_del, self))) {
        PyErr_WriteUnraisable(self);
    }
}

// A future that is done; asyncio's constructor makes it.
PyObject* get_complete(PyObject* self, void*) noexcept {
    Writer& writer = writer_of(self);
    if (!writer.complete && writer.loop) {
        const py::Ref loop = writer.loop.clone();
        py::Ref made = core::create_future(loop.get());
        if (!made || !core::set_result_of(made.get(), Py_None)) {
            return nullptr;
        }
        writer.complete = std::move(made);
    }
    return py::value_or_none(writer.complete.get());
}

using W = Writer;

PyGetSetDef kAttributes[] = {
    sync::optional_property<W, &W::transport>("_transport"),
    sync::optional_property<W, &W::protocol>("_protocol"),
    sync::optional_property<W, &W::reader>("_reader"),
    sync::optional_property<W, &W::loop>("_loop"),
    {"_complete_fut", get_complete, sync::set_or_none<W, &W::complete>, nullptr, nullptr},
    {"__dict__", sync::get_dict, sync::set_dict, nullptr, kAttributes},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// No state of its own.
PyGetSetDef kProperties[] = {
    {"transport", sync::get_or_none<W, &W::transport>, nullptr, "What is written to.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

const py::FunctionRow kFunctions[] = {
    {"__init__", init},
    {"__repr__", repr},
    {"write", write},
    {"writelines", writelines},
    {"write_eof", write_eof},
    {"can_write_eof", can_write_eof},
    {"close", close},
    {"is_closing", is_closing_method},
    {"get_extra_info", get_extra_info},
    {"start_tls", start_tls},
    core::async_row("drain", drain_method),
    core::async_row("wait_closed", wait_closed),
    {nullptr, nullptr},
};

// asyncio's StreamWriter.__del__, which came with 3.11.5, 3.12.1 and 3.13. False with an error set.
bool find_finalizer(py::State& state) noexcept {
    const py::Ref streams = py::Ref::steal(PyImport_ImportModule("asyncio.streams"));
    const py::Ref stock =
        streams ? py::Ref::steal(PyObject_GetAttrString(streams.get(), "StreamWriter")) : py::Ref();
    if (stock) {
        state.writer_del = py::get_optional_attr(stock.get(), py::names().__del__).release();
    }
    return PyErr_Occurred() == nullptr;
}

} // namespace

py::Ref make_writer(PyObject* transport, PyObject* protocol, PyObject* reader,
                    PyObject* loop) noexcept {
    py::Ref self = py::Ref::steal(
        sync::Slots<Writer>::create(py::state().stream_writer_type, nullptr, nullptr));
    if (self) {
        Writer& writer = writer_of(self.get());
        writer.transport = py::Ref::borrow(transport);
        writer.protocol = py::Ref::borrow(protocol);
        writer.reader = py::Ref::borrow(reader);
        writer.loop = py::Ref::borrow(loop);
    }
    return self;
}

bool make_writer_type(PyObject* module) noexcept {
    py::State& state = py::state();
    if (!find_finalizer(state)) {
        return false;
    }
    sync::PrimitiveRecipe recipe = {"bucle.StreamWriter", "asyncio.StreamWriter, native.",
                                    "asyncio.streams"};
    recipe.functions = kFunctions;
    recipe.getset = kAttributes;
    state.stream_writer_type = state.writer_del != nullptr
                                   ? make_finalized<Writer>(module, recipe, finalize)
                                   : sync::make_primitive<Writer>(module, recipe);
    return state.stream_writer_type != nullptr &&
           py::add_getset(state.stream_writer_type, kProperties);
}

} // namespace bucle::streams
