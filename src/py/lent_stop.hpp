// The StopIteration by which tp_iternext tells the interpreter the result of an await. It takes the
// value out and drops the exception at once; making one takes longer than all the rest of a short
// await. So one is kept and lent, for as long as nobody else gets hold of it.
#pragma once

#include "py/state.hpp"

namespace bucle::py {

// Raises StopIteration(value).
void lend_stop_iteration(PyObject* value) noexcept;

void forget_lent_value() noexcept;

// To be called a moment later, when the awaited object dies or at the end of the step: the value
// must not live on in what was lent.
inline void take_back_stop_iteration() noexcept {
    if (state().stop_is_lent) {
        forget_lent_value();
    }
}

} // namespace bucle::py
