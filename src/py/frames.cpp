// See frames.hpp.
#include "py/frames.hpp"

#include <frameobject.h>

namespace bucle::py {
namespace {

Ref describe(PyFrameObject* frame) noexcept {
    const Ref code = Ref::steal(PyFrame_GetCode(frame));
    const auto& fields = *reinterpret_cast<PyCodeObject*>(code.get());
    return Ref::steal(
        Py_BuildValue("OiO", fields.co_filename, PyFrame_GetLineNumber(frame), fields.co_name));
}

} // namespace

Ref where_called(int depth) noexcept {
    const Ref list = Ref::steal(PyList_New(0));
    Ref frame = Ref::borrow(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
    while (list && frame && depth-- > 0) {
        auto* const here = reinterpret_cast<PyFrameObject*>(frame.get());
        const Ref row = describe(here);
        if (!row || PyList_Append(list.get(), row.get()) < 0) {
            return {};
        }
        frame = Ref::steal(PyFrame_GetBack(here));
    }
    return list ? Ref::steal(PyList_AsTuple(list.get())) : Ref();
}

} // namespace bucle::py
