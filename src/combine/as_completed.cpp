// as_completed: an iterator over futures in the order in which they end. What asyncio does with a
// Queue is a list with a reading position here, and a line of waiters in front of it. Up to 3.12,
// where as_completed() is a generator function, a generator in Python stands around the iterator.
#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "combine/record.hpp"

#include "core/coroutine.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "sync/deque.hpp"

namespace bucle::combine {
namespace {

struct AsCompleted {
    py::Ref futures; // list of all, until the last has ended
    py::Ref ended;   // list; None stands for a timeout, and for what was read
    sync::Deque getters;
    py::Ref timer;
    py::Ref observer;
    py::Ref task;        // that called, where the graph of awaits is kept
    Py_ssize_t read;     // how much of `ended` was read
    Py_ssize_t expected; // whose end was not seen yet
    Py_ssize_t left;     // how many are still to be handed out

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&futures, &ended, &timer, &observer, &task}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return getters.visit(visitor, arg);
    }
    void clear() noexcept {
        futures.reset();
        ended.reset();
        getters.clear();
        timer.reset();
        observer.reset();
        task.reset();
        expected = left = 0;
    }
    bool anything_ended() const noexcept { return ended && read < PyList_GET_SIZE(ended.get()); }
};

AsCompleted& fields(PyObject* self) noexcept {
    return fields_of<AsCompleted>(self);
}

bool wake_next(AsCompleted& all) noexcept {
    while (all.getters.size() > 0) {
        const py::Ref getter = all.getters.pop_front();
        core::FutureCore& core = *core::future_core(getter.get());
        if (core.pending()) {
            return core::future_set_result(getter.get(), core, Py_None);
        }
    }
    return true;
}

bool put(AsCompleted& all, PyObject* item) noexcept {
    return PyList_Append(all.ended.get(), item) == 0 && wake_next(all);
}

bool on_completion(PyObject* self, PyObject* future) noexcept {
    AsCompleted& all = fields(self);
    if (all.expected == 0) { // the timeout was first
        return true;
    }
    const bool last = --all.expected == 0;
    const py::Ref task = last ? std::move(all.task) : all.task.clone();
    if (!drop_edge(future, task.get()) || !put(all, future)) {
        return false;
    }
    if (!last) {
        return true;
    }
    const py::Ref futures = std::move(all.futures);
    const py::Ref observer = std::move(all.observer);
    const py::Ref timer = std::move(all.timer);
    return !timer || py::call_method(timer.get(), py::names().cancel);
}

bool on_timeout(PyObject*, PyObject* self) noexcept {
    if (Py_TYPE(self) != py::state().as_completed_type) { // called by hand
        py::raise_type_error("the time-out of as_completed() belongs to its iterator");
        return false;
    }
    AsCompleted& all = fields(self);
    const py::Ref futures = std::move(all.futures);
    const py::Ref observer = std::move(all.observer);
    const py::Ref task = std::move(all.task);
    Py_ssize_t missing = std::exchange(all.expected, 0);
    for (Py_ssize_t i = 0; futures && i < PyList_GET_SIZE(futures.get()); ++i) {
        PyObject* const future = PyList_GET_ITEM(futures.get(), i);
        if (!core::stop_observing(future, observer.get()) || !drop_edge(future, task.get())) {
            return false;
        }
    }
    for (; missing != 0; --missing) {
        if (!put(all, Py_None)) {
            return false;
        }
    }
    return true;
}

// Waits for its turn; `kept` is the getter.
core::Step wait_in_line(core::Coroutine& co, AsCompleted& all) noexcept {
    const py::Ref loop = py::abi::require_running_loop();
    co.kept = loop ? core::make_future(loop.get()) : py::Ref();
    if (!co.kept) {
        return core::Step::fail;
    }
    return all.getters.push_back(co.kept.get()) ? co.wait(co.kept.clone(), 1) : core::Step::fail;
}

// An error was thrown in: out of the line, and if a turn had come already the next one gets it.
bool leave_line(PyObject* getter, AsCompleted& all) noexcept {
    if (core::cancel_any(getter, Py_None) < 0) {
        return false;
    }
    if (!all.getters.remove(getter)) {
        PyErr_Clear(); // whoever woke it took it out
    }
    return core::is_cancelled(getter) != 0 || !all.anything_ended() || wake_next(all);
}

core::Step give_up(core::Coroutine& co, AsCompleted& all, py::Ref error) noexcept {
    const py::Ref getter = std::move(co.kept);
    if (py::state().combine.slot_is_given_back) {
        ++all.left;
    }
    if (getter && !leave_line(getter.get(), all)) {
        py::raise_chained(py::compat::take_exception(), std::move(error));
        return core::Step::fail;
    }
    return core::fail_with(std::move(error));
}

core::Step hand_out(py::Ref future, bool resolve, py::Ref& result) noexcept {
    if (future.get() == Py_None) {
        PyErr_SetNone(PyExc_TimeoutError);
        return core::Step::fail;
    }
    return core::finish_with(result, resolve ? core::result_of(future.get()) : std::move(future));
}

// self._wait_for_one(resolve=False), and what __anext__ goes on with: `resolve` is null there.
core::Step wait_for_one(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    const py::Ref self = co.arguments[0].clone();
    AsCompleted& all = fields(self.get());
    if (error) {
        return give_up(co, all, std::move(error));
    }
    if (!all.anything_ended()) {
        const core::Step step = wait_in_line(co, all);
        return step == core::Step::fail ? give_up(co, all, py::compat::take_exception()) : step;
    }
    const int resolve = co.arguments[1] ? PyObject_IsTrue(co.arguments[1].get()) : 0;
    if (resolve < 0) {
        return core::Step::fail;
    }
    py::Ref future = py::Ref::borrow(PyList_GET_ITEM(all.ended.get(), all.read));
    (void)PyList_SetItem(all.ended.get(), all.read++, py::new_ref(Py_None));
    return hand_out(std::move(future), resolve > 0, result);
}

core::Step anext(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (co.stage == 0) {
        AsCompleted& all = fields(co.arguments[0].get());
        if (all.left == 0) {
            PyErr_SetNone(PyExc_StopAsyncIteration);
            return core::Step::fail;
        }
        --all.left;
    }
    return wait_for_one(co, std::move(value), std::move(error), result);
}

PyObject* anext_slot(PyObject* self) noexcept {
    return PyObject_CallMethod(self, "__anext__", nullptr);
}

PyObject* next(PyObject* self) noexcept {
    AsCompleted& all = fields(self);
    if (all.left == 0) {
        return nullptr;
    }
    --all.left;
    PyObject* const args[] = {self, Py_True};
    return core::make_coroutine(py::as_function(py::state().wait_for_one), args);
}

PyObject* get_left(PyObject* self, void*) noexcept {
    return PyLong_FromSsize_t(fields(self).left);
}

PyGetSetDef getset[] = {
    {"_todo_left", get_left, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// One awaitable in place of several: what exactly is refused, and how, is the version's.
bool refuse_single(PyObject* given) noexcept {
    if (!py::state().combine.as_completed_is_async) {
        const int single = is_future_or_coroutine(given);
        if (single > 0) {
            raise_with_type(PyExc_TypeError, "expect an iterable of futures, not %U", given);
        }
        return single == 0;
    }
    const PyAsyncMethods* const slots = Py_TYPE(given)->tp_as_async;
    if (slots != nullptr && slots->am_await != nullptr) {
        raise_with_type(PyExc_TypeError, "expects an iterable of awaitables, not %U", given);
        return false;
    }
    return true;
}

// The futures of what was given, each once.
py::Ref ensure_all(PyObject* given, PyObject* loop) noexcept {
    const py::Ref unique = py::Ref::steal(PySet_New(given));
    const py::Ref awaitables = unique ? py::Ref::steal(PySequence_List(unique.get())) : py::Ref();
    const py::Ref futures = awaitables ? py::Ref::steal(PySet_New(nullptr)) : py::Ref();
    for (Py_ssize_t i = 0; futures && i < PyList_GET_SIZE(awaitables.get()); ++i) {
        const py::Ref future = ensure_future(PyList_GET_ITEM(awaitables.get(), i), loop);
        if (!future || PySet_Add(futures.get(), future.get()) < 0) {
            return {};
        }
    }
    return futures ? py::Ref::steal(PySequence_List(futures.get())) : py::Ref();
}

bool start_timer(PyObject* self, PyObject* loop, PyObject* timeout) noexcept {
    if (timeout == Py_None || fields(self).expected == 0) {
        return true;
    }
    const py::Ref callback =
        core::make_observer(Py_None, on_timeout, "_AsCompletedIterator._handle_timeout");
    return callback &&
           keep_timer(fields(self).timer,
                      py::call_method(loop, py::names().call_later, timeout, callback.get(), self));
}

bool start(PyObject* self, PyObject* given, PyObject* timeout) noexcept {
    AsCompleted& all = fields(self);
    const py::Ref loop = event_loop();
    if (!loop || !find_waiter(loop.get(), all.task)) {
        return false;
    }
    all.ended = py::Ref::steal(PyList_New(0));
    all.observer =
        core::make_observer(self, on_completion, "_AsCompletedIterator._handle_completion");
    const py::Ref futures = all.ended && all.observer ? ensure_all(given, loop.get()) : py::Ref();
    if (!futures) {
        return false;
    }
    all.left = all.expected = PyList_GET_SIZE(futures.get());
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(futures.get()); ++i) {
        PyObject* const future = PyList_GET_ITEM(futures.get(), i);
        if (!core::observe(future, all.observer.get()) || !add_edge(future, all.task.get())) {
            return false;
        }
    }
    all.futures = futures.clone();
    return start_timer(self, loop.get(), timeout);
}

PyObject* as_completed(py::Function&, PyObject* const* args) noexcept {
    if (!refuse_single(args[0])) {
        return nullptr;
    }
    py::Ref self = py::Ref::steal(py::allocate(py::state().as_completed_type));
    return self && start(self.get(), args[0], args[1]) ? self.release() : nullptr;
}

bool make_type(PyObject* module) noexcept {
    static const py::FunctionRow kMethods[] = {core::async_row("_wait_for_one", wait_for_one),
                                               core::async_row("__anext__", anext),
                                               {nullptr, nullptr}};
    PyType_Slot slots[kRecordSlots + 7] = {};
    PyType_Slot* const own = slots + kRecordSlots;
    own[0] = {Py_tp_doc, const_cast<char*>("What as_completed() returns.")};
    own[1] = {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)};
    own[2] = {Py_tp_iternext, reinterpret_cast<void*>(next)};
    own[3] = {Py_am_aiter, reinterpret_cast<void*>(PyObject_SelfIter)};
    own[4] = {Py_am_anext, reinterpret_cast<void*>(anext_slot)};
    own[5] = {Py_tp_getset, getset};
    py::State& state = py::state();
    state.as_completed_type =
        make_record_type<AsCompleted>(module, "bucle._AsCompletedIterator", slots);
    const char* const twins =
        state.combine.as_completed_is_async ? "asyncio.tasks" : "bucle._twins";
    const py::Ref twin_module = state.as_completed_type == nullptr
                                    ? py::Ref()
                                    : py::Ref::steal(PyImport_ImportModule(twins));
    const py::Ref twin =
        twin_module
            ? py::Ref::steal(PyObject_GetAttrString(twin_module.get(), "_AsCompletedIterator"))
            : py::Ref();
    if (!twin || !py::add_functions(state.as_completed_type, twin.get(), kMethods)) {
        return false;
    }
    state.wait_for_one = PyObject_GetAttrString(
        reinterpret_cast<PyObject*>(state.as_completed_type), "_wait_for_one");
    return state.wait_for_one != nullptr;
}

} // namespace

bool add_as_completed(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {{"as_completed", as_completed}, {nullptr, nullptr}};
    py::CombineRules& rules = py::state().combine;
    rules.as_completed_is_async =
        py::twin_mentions("asyncio.tasks", "as_completed", "_AsCompletedIterator");
    rules.slot_is_given_back =
        py::twin_mentions("asyncio.tasks", "_AsCompletedIterator._wait_for_one", "_todo_left");
    return make_type(module) && py::add_module_functions(module, "asyncio.tasks", kRows);
}

} // namespace bucle::combine
