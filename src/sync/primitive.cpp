// See primitive.hpp.
#include "sync/primitive.hpp"

#include "core/awaiting.hpp"
#include "py/call.hpp"

#include <cstring>

namespace bucle::sync {

PyTypeObject* make_primitive(PyObject* module, const PrimitiveRecipe& recipe, PyType_Slot* slots,
                             std::size_t own_size, std::size_t own_align,
                             std::size_t* offset) noexcept {
    const char* const short_name = std::strrchr(recipe.name, '.') + 1;
    const py::Ref stock_module = py::Ref::steal(PyImport_ImportModule(recipe.stock_module));
    const py::Ref stock =
        stock_module ? py::Ref::steal(PyObject_GetAttrString(stock_module.get(), short_name))
                     : py::Ref();
    if (!stock) {
        return nullptr;
    }
    auto* const stock_type = reinterpret_cast<PyTypeObject*>(stock.get());
    PyType_Slot* slot = slots;
    while (slot->slot != 0) {
        ++slot;
    }
    const PyType_Slot additions[] = {
        {Py_tp_doc, const_cast<char*>(recipe.doc)},
        {Py_tp_getset, recipe.getset},
    };
    for (const PyType_Slot& addition : additions) {
        if (addition.pfunc != nullptr) {
            *slot++ = addition;
        }
    }
    const bool derived = recipe.base != nullptr;
    std::size_t place = 0;
    const py::TypeRecipe type_recipe = {recipe.name,
                                        slots,
                                        derived ? 0 : own_size,
                                        derived ? 1 : own_align,
                                        derived ? recipe.base : stock_type,
                                        py::state().meta,
                                        Py_TPFLAGS_BASETYPE,
                                        true,
                                        derived ? stock_type : nullptr};
    PyTypeObject* const type = py::make_type(module, type_recipe, derived ? &place : offset);
    if (type == nullptr ||
        (recipe.functions != nullptr && !py::add_functions(type, stock.get(), recipe.functions)) ||
        (!derived && !py::add_methods_for(type, type, copying_methods)) ||
        PyModule_AddObjectRef(module, short_name, reinterpret_cast<PyObject*>(type)) < 0) {
        return nullptr;
    }
    // Error messages name a class of asyncio's without its module; __module__ stands in the dict.
    type->tp_name = short_name;
    return type;
}

PyObject* primitive_repr(PyObject* self, py::Ref state, Py_ssize_t waiters) noexcept {
    if (!state || waiters < 0) {
        return nullptr;
    }
    const py::Ref whole = py::Ref::steal(PyBaseObject_Type.tp_repr(self));
    const Py_ssize_t length = whole ? PyUnicode_GetLength(whole.get()) : 0;
    const py::Ref head =
        length > 2 ? py::Ref::steal(PyUnicode_Substring(whole.get(), 1, length - 1)) : py::Ref();
    if (!head) {
        return nullptr;
    }
    return waiters == 0
               ? PyUnicode_FromFormat("<%U [%U]>", head.get(), state.get())
               : PyUnicode_FromFormat("<%U [%U, waiters:%zd]>", head.get(), state.get(), waiters);
}

core::Step enter_by_name(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (error) {
        return core::fail_with(std::move(error));
    }
    if (co.stage != kStart) {
        return core::finish_with_none(result);
    }
    const py::Ref acquired = py::call_method(co.arguments[0].get(), py::names().acquire);
    return co.wait(acquired ? core::awaitable_of(acquired.get()) : py::Ref(), kByName);
}

core::Step leave_by_name(core::Coroutine& co, py::Ref, py::Ref, py::Ref& result) noexcept {
    return py::call_method(co.arguments[0].get(), py::names().release)
               ? core::finish_with_none(result)
               : core::Step::fail;
}

core::Step by_twin(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    if (co.stage != kStart) {
        return error ? core::fail_with(std::move(error))
                     : core::finish_with(result, std::move(value));
    }
    py::Function& function = py::as_function(co.function.get());
    if (function.positional > core::Coroutine::kArguments) {
        PyErr_SetString(PyExc_SystemError, "a function of asyncio has too many arguments");
        return core::Step::fail;
    }
    PyObject* args[core::Coroutine::kArguments];
    for (int i = 0; i != core::Coroutine::kArguments; ++i) {
        args[i] = co.arguments[i].get();
    }
    const py::Ref twin = py::Ref::steal(call_twin(function, args));
    return co.wait(twin ? core::awaitable_of(twin.get()) : py::Ref(), kByTwin);
}

PyObject* call_twin(py::Function& function, PyObject* const* args) noexcept {
    return PyObject_Vectorcall(function.twin, args, function.positional, nullptr);
}

} // namespace bucle::sync
