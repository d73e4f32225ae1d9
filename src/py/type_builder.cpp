// See type_builder.hpp.
#include "py/type_builder.hpp"

#include "py/call.hpp"
#include "py/compat.hpp"

namespace bucle::py {
namespace {

void add_twin(PyTypeObject* native, PyTypeObject* stock) noexcept {
    State::Twin* free = state().twins;
    while (free->native != nullptr) {
        ++free;
    }
    if (free == state().twins + State::kMaxTwins) {
        Py_FatalError("bucle: more native types than py::State has room for");
    }
    *free = {native, stock};
}

// A base of ours has the metaclass already, whose constructor the creation from a spec refuses: for
// that moment it is an ordinary class.
class PlainClass {
  public:
    explicit PlainClass(PyTypeObject* type) noexcept : type_(type) {
        if (type_ != nullptr) {
            meta_ = Py_TYPE(type_);
            Py_SET_TYPE(reinterpret_cast<PyObject*>(type_), &PyType_Type);
        }
    }
    PlainClass(const PlainClass&) = delete;
    PlainClass& operator=(const PlainClass&) = delete;
    ~PlainClass() {
        if (type_ != nullptr) {
            Py_SET_TYPE(reinterpret_cast<PyObject*>(type_), meta_);
        }
    }

  private:
    PyTypeObject* type_;
    PyTypeObject* meta_ = nullptr;
};

PyObject* make_from_spec(PyObject* module, PyType_Spec& spec, const TypeRecipe& recipe) noexcept {
    auto* const base = reinterpret_cast<PyObject*>(recipe.base);
    if (recipe.stock == nullptr) {
        return PyType_FromModuleAndSpec(module, &spec, base);
    }
    const Ref bases = Ref::steal(PyTuple_Pack(2, base, reinterpret_cast<PyObject*>(recipe.stock)));
    const PlainClass plain(recipe.base);
    return bases ? PyType_FromModuleAndSpec(module, &spec, bases.get()) : nullptr;
}

} // namespace

PyTypeObject* make_type(PyObject* module, const TypeRecipe& recipe, std::size_t* offset) noexcept {
    const std::size_t base_size = static_cast<std::size_t>(
        recipe.base == nullptr ? PyBaseObject_Type.tp_basicsize : recipe.base->tp_basicsize);
    const std::size_t place = recipe.place != 0 ? recipe.place
                                                : (base_size + recipe.own_align - 1) /
                                                      recipe.own_align * recipe.own_align;
    PyType_Spec spec = {};
    spec.name = recipe.name;
    spec.basicsize = static_cast<int>(place + recipe.own_size);
    spec.flags =
        static_cast<unsigned>(Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC) | recipe.extra_flags;
    spec.slots = recipe.slots;
    PyObject* const type = make_from_spec(module, spec, recipe);
    if (type == nullptr) {
        return nullptr;
    }
    compat::drop_inline_values(reinterpret_cast<PyTypeObject*>(type));
    if (offset != nullptr && *offset != place) { // other interpreters read it
        *offset = place;
    }
    if (recipe.is_twin) {
        add_twin(reinterpret_cast<PyTypeObject*>(type),
                 recipe.stock == nullptr ? recipe.base : recipe.stock);
    }
    if (recipe.meta != nullptr) {
        // The metaclass has a constructor written in Python, which the creation from a spec
        // refuses; the type is complete here, so its class can be set.
        Py_SET_TYPE(type, reinterpret_cast<PyTypeObject*>(Py_NewRef(recipe.meta)));
        Ref abc = Ref::steal(PyImport_ImportModule("_abc"));
        Ref init = abc ? Ref::steal(PyObject_GetAttrString(abc.get(), "_abc_init")) : Ref();
        // Asked for by 3.11's protocol metaclass, without a default.
        if (!init || !call(init.get(), type) ||
            PyDict_SetItemString(reinterpret_cast<PyTypeObject*>(type)->tp_dict, "_is_protocol",
                                 Py_False) < 0) {
            Py_DECREF(type);
            return nullptr;
        }
    }
    return reinterpret_cast<PyTypeObject*>(type);
}

bool add_methods_for(PyTypeObject* type, PyTypeObject* receiver, PyMethodDef* methods) noexcept {
    for (PyMethodDef* def = methods; def->ml_name != nullptr; ++def) {
        Ref descriptor =
            Ref::steal((def->ml_flags & METH_CLASS) != 0 ? PyDescr_NewClassMethod(receiver, def)
                                                         : PyDescr_NewMethod(receiver, def));
        if (!descriptor ||
            PyDict_SetItemString(type->tp_dict, def->ml_name, descriptor.get()) < 0) {
            return false;
        }
    }
    PyType_Modified(type);
    return true;
}

bool add_getset(PyTypeObject* type, PyGetSetDef* table) noexcept {
    for (PyGetSetDef* def = table; def->name != nullptr; ++def) {
        Ref descriptor = Ref::steal(PyDescr_NewGetSet(type, def));
        if (!descriptor || PyDict_SetItemString(type->tp_dict, def->name, descriptor.get()) < 0) {
            return false;
        }
    }
    PyType_Modified(type);
    return true;
}

void free_instance(PyObject* self) noexcept {
    PyTypeObject* type = Py_TYPE(self);
    compat::clear_weakrefs(self);
    compat::clear_instance_dict(self);
    type->tp_free(self);
    Py_DECREF(type);
}

void chain_dealloc(PyObject* self, PyTypeObject* base) noexcept {
    [[maybe_unused]] PyTypeObject* type = Py_TYPE(self);
    base->tp_dealloc(self);
    if constexpr (!compat::kBaseDeallocDropsType) {
        Py_DECREF(type);
    }
}

namespace {

// Whether no field of the base was ever used: nearly always, since our methods shadow the base's.
bool is_zero(PyObject* self, PyTypeObject* base) noexcept {
    const auto* words = reinterpret_cast<const std::uintptr_t*>(self);
    const auto count = static_cast<std::size_t>(base->tp_basicsize) / sizeof(std::uintptr_t);
    std::uintptr_t seen = 0;
    for (std::size_t i = sizeof(PyObject) / sizeof(std::uintptr_t); i != count; ++i) {
        seen |= words[i];
    }
    return seen == 0;
}

} // namespace

void chain_dealloc_into(PyObject* self, PyTypeObject* base, BlockPool& pool) noexcept {
    compat::clear_weakrefs(self);
    if (!is_zero(self, base)) {
        (void)base->tp_clear(self);
    }
    if (compat::may_have_instance_dict(self)) {
        compat::clear_instance_dict(self);
    }
    pool.give(self);
}

bool finalize_before_dealloc(PyObject* self) noexcept {
    return PyObject_CallFinalizerFromDealloc(self) == 0;
}

int visit_type(PyObject* self, visitproc visit, void* arg) noexcept {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

} // namespace bucle::py
