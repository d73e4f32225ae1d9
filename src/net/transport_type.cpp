// See transport_type.hpp.
#include "net/transport_type.hpp"

#include <structmember.h>

#include <cstring>

namespace bucle::net {
namespace {

constexpr const char* kTransports = "asyncio.transports";

py::Ref import_class(const char* module_name, const char* name) noexcept {
    const py::Ref module = py::Ref::steal(PyImport_ImportModule(module_name));
    return module ? py::Ref::steal(PyObject_GetAttrString(module.get(), name)) : py::Ref();
}

bool take_repr(PyObject* type, PyObject* stock) noexcept {
    const py::Ref repr = py::Ref::steal(PyObject_GetAttrString(stock, "__repr__"));
    return repr && PyObject_SetAttrString(type, "__repr__", repr.get()) == 0;
}

constexpr std::size_t round_up(std::size_t size, std::size_t align) noexcept {
    return (size + align - 1) / align * align;
}

} // namespace

PyTypeObject* make_transport_type(PyObject* module, const TransportRecipe& recipe,
                                  const py::FunctionRow* common, PyType_Slot* slots,
                                  std::size_t own_size, std::size_t own_align,
                                  std::size_t* offset) noexcept {
    const char* const short_name = std::strrchr(recipe.name, '.') + 1;
    const py::Ref stock = import_class(recipe.stock_module, recipe.stock);
    const py::Ref base = !stock                   ? py::Ref()
                         : recipe.base == nullptr ? stock.clone()
                                                  : import_class(kTransports, recipe.base);
    const py::Ref second = base && recipe.second_base != nullptr
                               ? import_class(kTransports, recipe.second_base)
                               : py::Ref();
    if (!base || (!second && recipe.second_base != nullptr)) {
        return nullptr;
    }
    auto* const base_type = reinterpret_cast<PyTypeObject*>(base.get());
    std::size_t place = round_up(static_cast<std::size_t>(base_type->tp_basicsize), own_align);
    // asyncio's transports have a dict and weak references, its abstract classes do not.
    PyMemberDef members[] = {
        {"__dictoffset__", T_PYSSIZET, static_cast<Py_ssize_t>(place), READONLY, nullptr},
        {"__weaklistoffset__", T_PYSSIZET, static_cast<Py_ssize_t>(place + sizeof(PyObject*)),
         READONLY, nullptr},
        {nullptr, 0, 0, 0, nullptr},
    };
    PyType_Slot* slot = slots;
    while (slot->slot != 0) {
        ++slot;
    }
    if (recipe.base != nullptr) {
        place += 2 * sizeof(PyObject*);
        *slot++ = {Py_tp_members, members};
    }
    *slot++ = {Py_tp_doc, const_cast<char*>(recipe.doc)};
    *slot++ = {Py_tp_methods, recipe.methods};
    *slot++ = {Py_tp_getset, recipe.getset};
    if (recipe.repr != nullptr) {
        *slot++ = {Py_tp_repr, reinterpret_cast<void*>(recipe.repr)};
    }
    *slot = {0, nullptr};
    const py::TypeRecipe type_recipe = {recipe.name,
                                        slots,
                                        own_size,
                                        own_align,
                                        base_type,
                                        nullptr,
                                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                        false,
                                        reinterpret_cast<PyTypeObject*>(second.get()),
                                        place};
    PyTypeObject* const type = py::make_type(module, type_recipe, offset);
    auto* const made = reinterpret_cast<PyObject*>(type);
    return type != nullptr && (recipe.repr != nullptr || take_repr(made, stock.get())) &&
                   py::add_functions(type, stock.get(), common) &&
                   py::add_functions(type, stock.get(), recipe.functions) &&
                   PyModule_AddObjectRef(module, short_name, made) == 0
               ? type
               : nullptr;
}

bool add_loop_functions(const char* stock_module, const char* stock,
                        const py::FunctionRow* rows) noexcept {
    const py::Ref donor = import_class(stock_module, stock);
    return donor && py::add_functions(py::state().loop_type, donor.get(), rows);
}

} // namespace bucle::net
