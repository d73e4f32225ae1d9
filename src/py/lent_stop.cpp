// See lent_stop.hpp.
#include "py/lent_stop.hpp"

#include "py/call.hpp"
#include "py/compat.hpp"

namespace bucle::py {
namespace {

PyStopIterationObject& fields_of(PyObject* stop) noexcept {
    return *reinterpret_cast<PyStopIterationObject*>(stop);
}

// Whether nobody holds it and nobody left a trace on it.
bool is_pristine(PyObject* exception) noexcept {
    const PyStopIterationObject& stop = fields_of(exception);
    return is_sole_owner(exception) && stop.traceback == nullptr && stop.context == nullptr &&
           stop.cause == nullptr && stop.dict == nullptr && stop.notes == nullptr &&
           stop.suppress_context == 0 && PyTuple_CheckExact(stop.args) &&
           is_sole_owner(stop.args) && PyTuple_GET_SIZE(stop.args) == 1;
}

// Whether it may stay in what was lent: nobody can tell.
bool is_for_ever(PyObject* value) noexcept {
    return value == Py_True || value == Py_False;
}

void put_value(PyObject* exception, PyObject* value) noexcept {
    PyStopIterationObject& stop = fields_of(exception);
    if (stop.value == value && PyTuple_GET_ITEM(stop.args, 0) == value) {
        return;
    }
    const Ref old_value = Ref::steal(std::exchange(stop.value, new_ref(value)));
    const Ref old_argument = Ref::steal(PyTuple_GET_ITEM(stop.args, 0));
    PyTuple_SET_ITEM(stop.args, 0, new_ref(value));
}

} // namespace

void lend_stop_iteration(PyObject* value) noexcept {
    PyObject*& kept = state().lent_stop;
    if (kept == nullptr || !is_pristine(kept)) [[unlikely]] {
        Ref made = call(PyExc_StopIteration, Py_None);
        if (!made) {
            return;
        }
        const Ref old = Ref::steal(std::exchange(kept, made.release()));
    }
    put_value(kept, value);
    state().stop_is_lent = !is_for_ever(value);
    compat::put_exception(Ref::borrow(kept));
}

void forget_lent_value() noexcept {
    State& all = state();
    all.stop_is_lent = false;
    if (is_pristine(all.lent_stop)) [[likely]] {
        put_value(all.lent_stop, Py_None);
    } else { // somebody caught it: it is his now
        const Ref his = Ref::steal(std::exchange(all.lent_stop, nullptr));
    }
}

} // namespace bucle::py
