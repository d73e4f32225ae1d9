// shield: an outer future beside the inner one. Each is observed: the inner one's outcome is
// copied, and an outer one that is done first, cancelled as a rule, lets go of the inner.
#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "combine/record.hpp"

#include "core/observer.hpp"
#include "core/task.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/function.hpp"

namespace bucle::combine {
namespace {

struct Shield {
    py::Ref inner;
    py::Ref outer;
    py::Ref waiter;     // the task that called shield(), where the graph of awaits is kept
    py::Ref on_inner;   // the observer of the inner one
    py::Ref drops_edge; // another of its observers, where there is a waiter

    int visit(visitproc visitor, void* arg) const noexcept {
        for (const py::Ref* ref : {&inner, &outer, &waiter, &on_inner, &drops_edge}) {
            if (const int stop = ref->visit(visitor, arg); stop != 0) {
                return stop;
            }
        }
        return 0;
    }
    void clear() noexcept {
        inner.reset();
        outer.reset();
        waiter.reset();
        on_inner.reset();
        drops_edge.reset();
    }
};

bool copy_outcome(PyObject* inner, PyObject* outer) noexcept {
    const int cancelled = core::is_cancelled(inner);
    if (cancelled != 0) {
        return cancelled > 0 && py::call_method(outer, py::names().cancel);
    }
    const py::Ref exception = core::exception_of(inner);
    if (!exception || exception.get() != Py_None) {
        return exception && core::set_exception_of(outer, exception.get());
    }
    const py::Ref result = core::result_of(inner);
    return result && core::set_result_of(outer, result.get());
}

bool inner_done(PyObject* self, PyObject* inner) noexcept {
    const py::Ref outer = fields_of<Shield>(self).outer.clone();
    if (!outer) {
        return true;
    }
    const int gone = core::is_cancelled(outer.get());
    if (gone != 0) {
        return gone > 0 &&
               (!py::state().combine.shield_marks_retrieved || core::mark_retrieved(inner));
    }
    return copy_outcome(inner, outer.get());
}

bool clear_awaited_by(PyObject* self, PyObject* inner) noexcept {
    const py::Ref waiter = std::move(fields_of<Shield>(self).waiter);
    return drop_edge(inner, waiter.get());
}

// Some versions tell of the exception of an inner future that nobody waits for any more.
bool tell_of_exception(PyObject*, PyObject* inner) noexcept {
    const int cancelled = core::is_cancelled(inner);
    const py::Ref exception = cancelled == 0 ? core::exception_of(inner) : py::none();
    if (cancelled < 0 || !exception || exception.get() == Py_None) {
        return cancelled >= 0 && exception;
    }
    const py::Names& names = py::names();
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(exception.get())));
    py::Ref message =
        name ? py::Ref::steal(PyUnicode_FromFormat("%U exception in shielded future", name.get()))
             : py::Ref();
    const py::Ref traceback = py::Ref::steal(PyObject_GetAttr(inner, names._source_traceback));
    const py::Ref loop = traceback ? core::loop_of(inner) : py::Ref();
    PyObject* const made_at = traceback.get() == Py_None ? nullptr : traceback.get();
    return loop && core::report_to_loop(loop.get(), std::move(message),
                                        {{names.exception, exception.get()},
                                         {names.future, inner},
                                         {names.source_traceback, made_at}});
}

bool let_go(PyObject* inner, PyObject* on_inner, PyObject* drops_edge, PyObject* waiter) noexcept {
    if (!core::stop_observing(inner, on_inner) ||
        (drops_edge != nullptr && !core::stop_observing(inner, drops_edge)) ||
        !drop_edge(inner, waiter)) {
        return false;
    }
    if (!py::state().combine.shield_tells) {
        return true;
    }
    const py::Ref teller =
        core::make_observer(Py_None, tell_of_exception, "shield.<locals>._log_on_exception");
    return teller && core::observe(inner, teller.get());
}

bool outer_done(PyObject* self, PyObject*) noexcept {
    Shield& shield = fields_of<Shield>(self);
    const py::Ref inner = std::move(shield.inner);
    const py::Ref on_inner = std::move(shield.on_inner);
    const py::Ref drops_edge = std::move(shield.drops_edge);
    const int done = inner ? core::is_done(inner.get()) : 1;
    if (done != 0) {
        return done > 0;
    }
    const py::Ref waiter = std::move(shield.waiter);
    return let_go(inner.get(), on_inner.get(), drops_edge.get(), waiter.get());
}

// The graph of awaits has an observer of its own, the first, as in asyncio.
bool record_wait(PyObject* record, PyObject* loop, PyObject* inner) noexcept {
    Shield& fields = fields_of<Shield>(record);
    if (!find_waiter(loop, fields.waiter) || !fields.waiter) {
        return !PyErr_Occurred();
    }
    fields.drops_edge =
        core::make_observer(record, clear_awaited_by, "shield.<locals>._clear_awaited_by_callback");
    return fields.drops_edge && add_edge(inner, fields.waiter.get()) &&
           core::observe(inner, fields.drops_edge.get());
}

PyObject* shield(py::Function&, PyObject* const* args) noexcept {
    py::Ref inner = ensure_future(args[0], nullptr);
    const int done = inner ? core::is_done(inner.get()) : -1;
    if (done != 0) {
        return done > 0 ? inner.release() : nullptr;
    }
    const py::Ref loop = core::loop_of(inner.get());
    py::Ref outer = loop ? core::create_future(loop.get()) : py::Ref();
    const py::Ref record =
        outer ? py::Ref::steal(py::allocate(py::state().shield_type)) : py::Ref();
    if (!record) {
        return nullptr;
    }
    Shield& fields = fields_of<Shield>(record.get());
    if (!record_wait(record.get(), loop.get(), inner.get())) {
        return nullptr;
    }
    fields.outer = outer.clone();
    fields.on_inner =
        core::make_observer(record.get(), inner_done, "shield.<locals>._inner_done_callback");
    const py::Ref on_outer =
        core::make_observer(record.get(), outer_done, "shield.<locals>._outer_done_callback");
    if (!fields.on_inner || !on_outer || !core::observe(inner.get(), fields.on_inner.get()) ||
        !core::observe(outer.get(), on_outer.get())) {
        return nullptr;
    }
    fields.inner = std::move(inner);
    return outer.release();
}

} // namespace

bool add_shield(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {{"shield", shield}, {nullptr, nullptr}};
    py::State& state = py::state();
    // Both versions of the callback ask for the exception; the one that marks it asks twice, first
    // before it cancels.
    state.combine.shield_marks_retrieved = py::twin_mentions_first(
        "asyncio.tasks", "shield._inner_done_callback", "exception", "cancel");
    state.combine.shield_tells = py::twin_mentions("asyncio.tasks", "shield", "_log_on_exception");
    state.shield_type = make_record_type<Shield>(module, "bucle.shield_record");
    return state.shield_type != nullptr && py::add_module_functions(module, "asyncio.tasks", kRows);
}

} // namespace bucle::combine
