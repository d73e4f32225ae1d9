// See meta.hpp.
#include "core/meta.hpp"

#include "py/args.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

LoopClassChanged loop_class_changed = nullptr;

// The stock class whose instances pass for instances of `cls`; null when `cls` is not one of ours
// but a user's subclass, for which the ordinary rules hold.
PyTypeObject* stock_twin(PyObject* cls) noexcept {
    auto* type = reinterpret_cast<PyTypeObject*>(cls);
    for (const py::State::Twin* twin = py::state().twins; twin->native != nullptr; ++twin) {
        if (twin->native == type) {
            return twin->stock;
        }
    }
    return nullptr;
}

py::Ref call_inherited(const char* name, PyObject* cls, PyObject* argument) noexcept {
    py::Ref base = py::Ref::borrow(reinterpret_cast<PyObject*>(py::state().meta->tp_base));
    py::Ref method = py::Ref::steal(PyObject_GetAttrString(base.get(), name));
    return method ? py::call(method.get(), cls, argument) : py::Ref();
}

PyObject* instancecheck(PyObject* cls, PyObject* instance) noexcept {
    if (PyTypeObject* twin = stock_twin(cls)) {
        if (PyType_IsSubtype(Py_TYPE(instance), twin)) {
            Py_RETURN_TRUE;
        }
        // A mock's __class__ counts, as with type.__instancecheck__.
        py::Ref claimed = py::get_optional_attr(instance, py::names().__class__);
        if (!claimed) {
            return PyErr_Occurred() != nullptr ? nullptr : py::new_ref(Py_False);
        }
        return PyBool_FromLong(
            PyType_Check(claimed.get()) &&
            PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(claimed.get()), twin));
    }
    return call_inherited("__instancecheck__", cls, instance).release();
}

PyObject* subclasscheck(PyObject* cls, PyObject* subclass) noexcept {
    if (PyTypeObject* twin = stock_twin(cls)) {
        if (!PyType_Check(subclass)) {
            return py::raise_type_error("issubclass() arg 1 must be a class");
        }
        return PyBool_FromLong(PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(subclass), twin));
    }
    return call_inherited("__subclasscheck__", cls, subclass).release();
}

// The arguments of a constructor of classes, with the module of the code that calls it.
py::Ref with_module(PyObject* args) noexcept {
    PyObject* const body = PyTuple_GET_ITEM(args, 3);
    PyObject* const name = py::names().__module__;
    const int told = PyDict_Contains(body, name);
    PyObject* const globals = told == 0 ? PyEval_GetGlobals() : nullptr;
    PyObject* const module =
        globals == nullptr ? nullptr : PyDict_GetItemWithError(globals, py::names().__name__);
    if (module == nullptr) {
        return PyErr_Occurred() == nullptr ? py::Ref::borrow(args) : py::Ref();
    }
    const py::Ref filled = py::Ref::steal(PyDict_Copy(body));
    return filled && PyDict_SetItem(filled.get(), name, module) == 0
               ? py::Ref::steal(PyTuple_Pack(4, PyTuple_GET_ITEM(args, 0),
                                             PyTuple_GET_ITEM(args, 1), PyTuple_GET_ITEM(args, 2),
                                             filled.get()))
               : py::Ref();
}

// type.__new__ asks the frame that calls it for the module. Behind the constructors of abc and
// typing, which are Python code, that frame is theirs: type("X", (Queue,), {}) would be of "abc".
PyObject* make_class(PyObject*, PyObject* args, PyObject* kwargs) noexcept {
    const bool usual = PyTuple_GET_SIZE(args) == 4 && PyDict_Check(PyTuple_GET_ITEM(args, 3));
    const py::Ref given = usual ? with_module(args) : py::Ref::borrow(args);
    auto* const base = reinterpret_cast<PyObject*>(py::state().meta->tp_base);
    const py::Ref inherited =
        given ? py::Ref::steal(PyObject_GetAttrString(base, "__new__")) : py::Ref();
    return inherited ? PyObject_Call(inherited.get(), given.get(), kwargs) : nullptr;
}

int set_attribute(PyObject* cls, PyObject* name, PyObject* value) noexcept {
    if (PyType_Type.tp_setattro(cls, name, value) < 0) {
        return -1;
    }
    PyTypeObject* loop_type = py::state().loop_type;
    auto* type = reinterpret_cast<PyTypeObject*>(cls);
    if (loop_type != nullptr && loop_class_changed != nullptr &&
        PyType_IsSubtype(type, loop_type)) {
        return loop_class_changed(type) ? 0 : -1;
    }
    return 0;
}

PyMethodDef methods[] = {
    // In the dict, not in the slot: type.__new__ refuses metaclasses with a tp_new of their own.
    {"__new__", py::as_method(make_class), METH_VARARGS | METH_KEYWORDS | METH_STATIC,
     "__new__(meta, name, bases, namespace, /, **kwargs)\n--\n\n"
     "Make a class."},
    {"__instancecheck__", instancecheck, METH_O,
     "__instancecheck__($self, instance, /)\n--\n\n"
     "Tell whether it is an instance of the native class or of its stock twin."},
    {"__subclasscheck__", subclasscheck, METH_O,
     "__subclasscheck__($self, subclass, /)\n--\n\n"
     "Tell whether it derives from the native class or from its stock twin."},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

void on_loop_class_changed(LoopClassChanged callback) noexcept {
    loop_class_changed = callback;
}

bool make_meta_type(PyObject* module) noexcept {
    py::Ref typing = py::Ref::steal(PyImport_ImportModule("typing"));
    py::Ref protocol =
        typing ? py::Ref::steal(PyObject_GetAttrString(typing.get(), "Protocol")) : py::Ref();
    if (!protocol) {
        return false;
    }
    PyTypeObject* base = Py_TYPE(protocol.get());
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("The class of the native classes: their asyncio twins' "
                                      "instances count as theirs.")},
        {Py_tp_methods, methods},
        {Py_tp_setattro, reinterpret_cast<void*>(set_attribute)},
        {0, nullptr},
    };
    PyType_Spec spec = {};
    spec.name = "bucle._NativeMeta";
    spec.flags = static_cast<unsigned>(Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE);
    spec.slots = slots;
    PyObject* type = PyType_FromModuleAndSpec(module, &spec, reinterpret_cast<PyObject*>(base));
    py::state().meta = reinterpret_cast<PyTypeObject*>(type);
    return type != nullptr;
}

} // namespace bucle::core
