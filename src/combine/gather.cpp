// gather: one observer on every different child; the last to be heard of settles the outer future.
// The children are made and observed before the outer future is initialised (its loop is theirs):
// until then, and once it is done, what they report is only marked as seen.
#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "combine/gathering_future.hpp"

#include "base/growable.hpp"
#include "core/coroutine.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

// A child that was cancelled, among the results.
py::Ref cancelled_result(PyObject* child) noexcept {
    const py::Ref message = py::Ref::steal(PyObject_GetAttrString(child, "_cancel_message"));
    const py::Ref text = message && message.get() == Py_None
                             ? py::Ref::steal(PyUnicode_FromString(""))
                             : message.clone();
    return text ? py::call(py::state().cancelled_error, text.get()) : py::Ref();
}

py::Ref outcome_of(PyObject* child) noexcept {
    const int cancelled = core::is_cancelled(child);
    if (cancelled != 0) {
        return cancelled > 0 ? cancelled_result(child) : py::Ref();
    }
    py::Ref exception = core::exception_of(child);
    return exception.get() == Py_None ? core::result_of(child) : std::move(exception);
}

bool settle(PyObject* outer, Gathering& gathering) noexcept {
    const py::Ref children = gathering.children.clone();
    const py::Ref results = py::Ref::steal(PyList_New(0));
    py::Ref last;
    for (Py_ssize_t i = 0; results && i < PyList_GET_SIZE(children.get()); ++i) {
        last = py::Ref::borrow(PyList_GET_ITEM(children.get(), i));
        const py::Ref outcome = outcome_of(last.get());
        if (!outcome || PyList_Append(results.get(), outcome.get()) < 0) {
            return false;
        }
    }
    core::FutureCore& core = *core::future_core(outer);
    if (!gathering.cancel_requested || !last) {
        return results && core::future_set_result(outer, core, results.get());
    }
    // A cancellation of the whole is passed on, whatever return_exceptions says.
    const py::Ref error = core::cancelled_error_of(last.get());
    return error && core::future_set_exception(outer, core, error.get());
}

// Children outlive a gather() that failed: they are not awaited by its caller any more.
bool drop_edges(Gathering& gathering) noexcept {
    const py::Ref children = gathering.children.clone();
    const py::Ref waiter = gathering.waiter.clone();
    for (Py_ssize_t i = 0; waiter && i < PyList_GET_SIZE(children.get()); ++i) {
        if (!drop_edge(PyList_GET_ITEM(children.get(), i), waiter.get())) {
            return false;
        }
    }
    return true;
}

bool hear(PyObject* outer, PyObject* child) noexcept {
    Gathering& gathering = gathering_of(outer);
    const bool is_last = ++gathering.heard == gathering.expected;
    const py::Ref waiter = is_last ? std::move(gathering.waiter) : gathering.waiter.clone();
    if (!drop_edge(child, waiter.get())) {
        return false;
    }
    core::FutureCore& core = *core::future_core(outer);
    if (!core.initialized() || !core.pending()) {
        return core::mark_retrieved(child);
    }
    if (!gathering.return_exceptions) {
        const int cancelled = core::is_cancelled(child);
        const py::Ref error = cancelled < 0   ? py::Ref()
                              : cancelled > 0 ? core::cancelled_error_of(child)
                                              : core::exception_of(child);
        if (!error) {
            return false;
        }
        if (error.get() != Py_None) {
            return drop_edges(gathering) && core::future_set_exception(outer, core, error.get());
        }
    }
    return !is_last || settle(outer, gathering);
}

// Finds arguments that were given before. Coroutines and asyncio's futures are themselves and equal
// to nothing else, so their addresses do; a call with anything else among its arguments asks a
// dict, as asyncio does.
class Seen {
  public:
    [[nodiscard]] bool init(PyObject* args) noexcept {
        const Py_ssize_t count = PyTuple_GET_SIZE(args);
        for (Py_ssize_t i = 0; i != count; ++i) {
            if (!is_itself(PyTuple_GET_ITEM(args, i))) {
                dict_ = py::Ref::steal(PyDict_New());
                return static_cast<bool>(dict_);
            }
        }
        if (count <= kFew) {
            return true;
        }
        std::size_t size = 4 * kFew;
        while (size < 2 * static_cast<std::size_t>(count)) {
            size *= 2;
        }
        if (!places_.extend_to(size)) {
            PyErr_NoMemory();
            return false;
        }
        return true;
    }

    // The position of the first argument equal to args[at], which is `at` itself for a new one; -1
    // with an error set.
    Py_ssize_t first(PyObject* args, Py_ssize_t at) noexcept {
        PyObject* const arg = PyTuple_GET_ITEM(args, at);
        if (dict_) {
            return first_in_dict(arg, at);
        }
        if (places_.empty()) {
            Py_ssize_t i = 0;
            while (PyTuple_GET_ITEM(args, i) != arg) {
                ++i;
            }
            return i;
        }
        const std::size_t mask = places_.size() - 1;
        std::size_t place = reinterpret_cast<std::uintptr_t>(arg) / kGranule * kMix >> kShift;
        for (;; ++place) {
            Place& found = places_[place & mask];
            if (found.arg == nullptr) {
                found = {arg, at};
            }
            if (found.arg == arg) {
                return found.at;
            }
        }
    }

  private:
    struct Place {
        PyObject* arg;
        Py_ssize_t at;
    };
    static constexpr Py_ssize_t kFew = 16;
    static constexpr std::uintptr_t kGranule = 16;             // objects begin at multiples of it
    static constexpr std::uintptr_t kMix = 0x9E3779B97F4A7C15; // Fibonacci hashing
    static constexpr int kShift = 32;

    static bool is_itself(PyObject* arg) noexcept {
        const py::State& state = py::state();
        PyTypeObject* const type = Py_TYPE(arg);
        return PyCoro_CheckExact(arg) || core::waits_natively(arg) || type == state.base_task ||
               type == state.base_future || type == state.coroutine_type;
    }

    Py_ssize_t first_in_dict(PyObject* arg, Py_ssize_t at) noexcept {
        PyObject* const found = PyDict_GetItemWithError(dict_.get(), arg);
        if (found != nullptr || PyErr_Occurred() != nullptr) {
            return found == nullptr ? -1 : PyLong_AsSsize_t(found);
        }
        const py::Ref number = py::Ref::steal(PyLong_FromSsize_t(at));
        return number && PyDict_SetItem(dict_.get(), arg, number.get()) == 0 ? at : -1;
    }

    base::Growable<Place> places_;
    py::Ref dict_;
};

// The caller cannot control a task made for it: no complaint when it is destroyed pending.
bool disown(PyObject* child) noexcept {
    if (Py_TYPE(child) == py::state().task_type) [[likely]] {
        core::task_core(child)->log_destroy_pending = false;
        return true;
    }
    return PyObject_SetAttrString(child, "_log_destroy_pending", Py_False) == 0;
}

py::Ref empty_result() noexcept {
    const py::Ref loop = event_loop();
    py::Ref outer = loop ? core::create_future(loop.get()) : py::Ref();
    const py::Ref results = outer ? py::Ref::steal(PyList_New(0)) : py::Ref();
    return results && py::call_method(outer.get(), py::names().set_result, results.get())
               ? std::move(outer)
               : py::Ref();
}

class Gatherer {
  public:
    Gatherer(PyObject* args, PyObject* outer) noexcept : args_(args), outer_(outer) {}

    [[nodiscard]] bool run() noexcept {
        Gathering& gathering = gathering_of(outer_);
        if (py::state().combine.gather_asks_for_loop) {
            loop_ = py::abi::running_loop();
            if (loop_ ? !find_waiter(loop_.get(), gathering.waiter) : PyErr_Occurred() != nullptr) {
                return false;
            }
        }
        observer_ = core::make_observer(outer_, hear, "gather.<locals>._done_callback");
        if (!observer_ || !seen_.init(args_)) {
            return false;
        }
        Py_ssize_t expected = 0;
        for (Py_ssize_t i = 0; i != PyTuple_GET_SIZE(args_); ++i) {
            if (!take(i, expected)) {
                return false;
            }
        }
        if (!core::init_future(outer_, *core::future_core(outer_), loop_.get())) {
            return false;
        }
        gathering.expected = expected;
        return hear_of_the_done();
    }

  private:
    bool take(Py_ssize_t at, Py_ssize_t& expected) noexcept {
        PyObject* const children = gathering_of(outer_).children.get();
        const Py_ssize_t first = seen_.first(args_, at);
        if (first != at) {
            return first >= 0 && PyList_Append(children, PyList_GET_ITEM(children, first)) == 0;
        }
        PyObject* const arg = PyTuple_GET_ITEM(args_, at);
        const py::Ref child = ensure_future(arg, loop_.get());
        if (!child || PyList_Append(children, child.get()) < 0) {
            return false;
        }
        ++expected;
        if (!loop_) {
            loop_ = core::loop_of(child.get());
            if (!loop_) {
                return false;
            }
        }
        return (child.get() == arg || disown(child.get())) && observe(child.get());
    }

    // A child that is done already is heard of at once where asyncio does so: a gather of tasks
    // that ended in their eager first step is done when it is returned.
    bool observe(PyObject* child) noexcept {
        if (py::state().combine.gather_settles_at_once) {
            const int done = core::is_done(child);
            if (done != 0) {
                done_ = done > 0 && !done_ ? py::Ref::steal(PyList_New(0)) : std::move(done_);
                return done > 0 && done_ && PyList_Append(done_.get(), child) == 0;
            }
        }
        return add_edge(child, gathering_of(outer_).waiter.get()) &&
               core::observe(child, observer_.get());
    }

    bool hear_of_the_done() noexcept {
        for (Py_ssize_t i = 0; done_ && i < PyList_GET_SIZE(done_.get()); ++i) {
            if (!hear(outer_, PyList_GET_ITEM(done_.get(), i))) {
                return false;
            }
        }
        return true;
    }

    PyObject* args_;
    PyObject* outer_;
    py::Ref loop_;
    py::Ref observer_;
    py::Ref done_; // list, made on demand
    Seen seen_;
};

PyObject* gather(py::Function&, PyObject* const* args) noexcept {
    const int return_exceptions = PyObject_IsTrue(args[0]);
    if (return_exceptions < 0) {
        return nullptr;
    }
    if (PyTuple_GET_SIZE(args[1]) == 0) {
        return empty_result().release();
    }
    py::Ref outer = make_gathering_future();
    if (!outer) {
        return nullptr;
    }
    gathering_of(outer.get()).return_exceptions = return_exceptions > 0;
    Gatherer gatherer(args[1], outer.get());
    return gatherer.run() ? outer.release() : nullptr;
}

} // namespace

bool add_gather(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {{"gather", gather}, {nullptr, nullptr}};
    py::CombineRules& rules = py::state().combine;
    rules.gather_settles_at_once = py::twin_mentions("asyncio.tasks", "gather", "done");
    rules.gather_asks_for_loop = py::twin_mentions("asyncio.tasks", "gather", "_get_running_loop");
    rules.awaits_are_recorded =
        py::twin_mentions("asyncio.tasks", "gather", "future_add_to_awaited_by");
    return make_gathering_future_type(module) &&
           py::add_module_functions(module, "asyncio.tasks", kRows);
}

} // namespace bucle::combine
