// See transport_type.hpp.
#include "net/transport_type.hpp"

#include <structmember.h>

#include <cstring>

namespace bucle::net {
namespace {

py::Ref import_class(const char* module_name, const char* name) noexcept {
    const py::Ref module = py::Ref::steal(PyImport_ImportModule(module_name));
    return module ? py::Ref::steal(PyObject_GetAttrString(module.get(), name)) : py::Ref();
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
    const py::Ref base = import_class("asyncio.transports", recipe.base);
    const py::Ref second = base && recipe.second_base != nullptr
                               ? import_class("asyncio.transports", recipe.second_base)
                               : py::Ref();
    const py::Ref stock = base && (second || recipe.second_base == nullptr)
                              ? import_class(recipe.stock_module, recipe.stock)
                              : py::Ref();
    if (!stock) {
        return nullptr;
    }
    auto* const base_type = reinterpret_cast<PyTypeObject*>(base.get());
    const std::size_t place =
        round_up(static_cast<std::size_t>(base_type->tp_basicsize), own_align);
    // asyncio's transports have a dict and weak references; Endpoint begins with the room for both.
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
    *slot++ = {Py_tp_doc, const_cast<char*>(recipe.doc)};
    *slot++ = {Py_tp_members, members};
    *slot++ = {Py_tp_getset, recipe.getset};
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
    const py::Ref repr = type == nullptr
                             ? py::Ref()
                             : py::Ref::steal(PyObject_GetAttrString(stock.get(), "__repr__"));
    if (!repr || !py::add_functions(type, stock.get(), common) ||
        !py::add_functions(type, stock.get(), recipe.functions) ||
        PyObject_SetAttrString(reinterpret_cast<PyObject*>(type), "__repr__", repr.get()) < 0 ||
        PyModule_AddObjectRef(module, short_name, reinterpret_cast<PyObject*>(type)) < 0) {
        return nullptr;
    }
    return type;
}

bool add_loop_functions(const char* stock_module, const char* stock,
                        const py::FunctionRow* rows) noexcept {
    const py::Ref donor = import_class(stock_module, stock);
    return donor && py::add_functions(py::state().loop_type, donor.get(), rows);
}

} // namespace bucle::net
