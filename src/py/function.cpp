// See function.hpp.
#include "py/function.hpp"

#include "py/call.hpp"
#include "py/error.hpp"
#include "py/type_builder.hpp"

#include <structmember.h>

#include <algorithm>
#include <cstddef>

namespace bucle::py {
namespace {

constexpr int kMaxArguments = 12;

PyObject* call_twin(Function& function, PyObject* const* args, std::size_t nargsf,
                    PyObject* kwnames) noexcept {
    return PyObject_Vectorcall(function.twin, args, nargsf, kwnames);
}

// One call's arguments on their way to their places.
class Binding {
  public:
    explicit Binding(Function& function) noexcept : function_(function) {}

    // False: the call does not fit, or an error is set.
    [[nodiscard]] bool bind(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
        const int named = function_.positional + function_.keyword_only;
        const Py_ssize_t placed = std::min<Py_ssize_t>(nargs, function_.positional);
        std::copy_n(args, placed, places_);
        if (function_.varargs) {
            rest_ = Ref::steal(PyTuple_New(nargs - placed));
            if (!rest_) {
                return false;
            }
            for (Py_ssize_t i = placed; i != nargs; ++i) {
                PyTuple_SET_ITEM(rest_.get(), i - placed, new_ref(args[i]));
            }
            places_[named] = rest_.get();
        } else if (nargs > placed) {
            return false;
        }
        if (function_.varkeywords) {
            keywords_ = Ref::steal(PyDict_New());
            if (!keywords_) {
                return false;
            }
            places_[named + (function_.varargs ? 1 : 0)] = keywords_.get();
        }
        return bind_keywords(args + nargs, kwnames) && fill_defaults();
    }

    PyObject* const* places() const noexcept { return places_; }

  private:
    int find(PyObject* name) const noexcept {
        const int named = function_.positional + function_.keyword_only;
        for (int i = function_.positional_only; i != named; ++i) {
            if (PyTuple_GET_ITEM(function_.names, i) == name) {
                return i;
            }
        }
        for (int i = function_.positional_only; i != named; ++i) {
            if (PyUnicode_Compare(PyTuple_GET_ITEM(function_.names, i), name) == 0) {
                return i;
            }
        }
        return -1;
    }

    bool bind_keywords(PyObject* const* values, PyObject* kwnames) noexcept {
        const Py_ssize_t count = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
        for (Py_ssize_t i = 0; i != count; ++i) {
            PyObject* const name = PyTuple_GET_ITEM(kwnames, i);
            const int at = find(name);
            if (at >= 0) {
                if (places_[at] != nullptr) {
                    return false;
                }
                places_[at] = values[i];
            } else if (!keywords_ || PyDict_SetItem(keywords_.get(), name, values[i]) < 0) {
                return false;
            }
        }
        return true;
    }

    bool fill_defaults() noexcept {
        for (int i = 0; i != function_.positional; ++i) {
            if (places_[i] == nullptr) {
                if (i < function_.required) {
                    return false;
                }
                places_[i] = PyTuple_GET_ITEM(function_.defaults, i - function_.required);
            }
        }
        for (int i = function_.positional; i != function_.positional + function_.keyword_only;
             ++i) {
            if (places_[i] == nullptr) {
                places_[i] = function_.kwdefaults == nullptr
                                 ? nullptr
                                 : PyDict_GetItemWithError(function_.kwdefaults,
                                                           PyTuple_GET_ITEM(function_.names, i));
                if (places_[i] == nullptr) {
                    return false;
                }
            }
        }
        return true;
    }

    Function& function_;
    PyObject* places_[kMaxArguments] = {};
    Ref rest_;
    Ref keywords_;
};

[[gnu::noinline]] PyObject* call_bound(Function& function, PyObject* const* args,
                                       std::size_t nargsf, PyObject* kwnames) noexcept {
    Binding binding(function);
    if (!binding.bind(args, PyVectorcall_NARGS(nargsf), kwnames)) {
        if (PyErr_Occurred() != nullptr) {
            return nullptr;
        }
        const Ref unexpected = Ref::steal(call_twin(function, args, nargsf, kwnames));
        if (unexpected) {
            PyErr_SetString(PyExc_SystemError, "a call that does not fit its signature succeeded");
        }
        return nullptr;
    }
    return function.body(function, binding.places());
}

PyObject* vectorcall(PyObject* self, PyObject* const* args, std::size_t nargsf,
                     PyObject* kwnames) noexcept {
    Function& function = as_function(self);
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (function.receiver != nullptr &&
        (nargs == 0 || !PyObject_TypeCheck(args[0], function.receiver))) [[unlikely]] {
        return call_twin(function, args, nargsf, kwnames);
    }
    if (kwnames != nullptr || !function.plain) {
        return call_bound(function, args, nargsf, kwnames);
    }
    if (nargs == function.positional) [[likely]] {
        return function.body(function, args);
    }
    if (nargs > function.positional || nargs < function.required) [[unlikely]] {
        return call_bound(function, args, nargsf, kwnames);
    }
    PyObject* places[kMaxArguments];
    std::copy_n(args, nargs, places);
    for (Py_ssize_t i = nargs; i != function.positional; ++i) {
        places[i] = PyTuple_GET_ITEM(function.defaults, i - function.required);
    }
    return function.body(function, places);
}

PyObject* get_attribute(PyObject* self, PyObject* name) noexcept {
    PyObject* value = PyObject_GenericGetAttr(self, name);
    if (value == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return PyObject_GetAttr(as_function(self).twin, name);
    }
    return value;
}

PyObject* describe_get(PyObject* self, PyObject* instance, PyObject*) noexcept {
    return instance == nullptr || instance == Py_None ? new_ref(self)
                                                      : PyMethod_New(self, instance);
}

PyObject* repr(PyObject* self) noexcept {
    const Ref name = Ref::steal(PyObject_GetAttrString(self, "__qualname__"));
    return name ? PyUnicode_FromFormat("<function %U at %p>", name.get(), self) : nullptr;
}

// Pickles, and copies, by name.
PyObject* reduce(PyObject* self, PyObject*) noexcept {
    return PyObject_GetAttrString(self, "__qualname__");
}

PyObject* get_module(PyObject*, void*) noexcept {
    return PyUnicode_FromString("bucle");
}

PyObject* get_text(PyObject* self, void* name) noexcept {
    return PyObject_GetAttrString(as_function(self).twin, static_cast<const char*>(name));
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    const Function& function = as_function(self);
    for (PyObject* owned :
         {function.twin, function.names, function.defaults, function.kwdefaults}) {
        if (owned != nullptr) {
            if (const int stop = visit(owned, arg); stop != 0) {
                return stop;
            }
        }
    }
    if (const int stop = compat::visit_instance_dict(self, visit, arg); stop != 0) {
        return stop;
    }
    return visit_type(self, visit, arg);
}

// Only the dict: the twin and the names are needed as long as it can be called, and no circle leads
// through them alone.
int clear_dict(PyObject* self) noexcept {
    clear(as_function(self).dict);
    return 0;
}

void drop_references(PyObject* self) noexcept {
    Function& function = as_function(self);
    clear(function.twin);
    clear(function.names);
    clear(function.defaults);
    clear(function.kwdefaults);
}

void dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    drop_references(self);
    free_instance(self);
}

// An attribute of the twin's code, or of the twin itself; null with an error set.
bool read_int(PyObject* code, const char* name, std::uint8_t& out) noexcept {
    const Ref value = Ref::steal(PyObject_GetAttrString(code, name));
    const long number = value ? PyLong_AsLong(value.get()) : -1;
    if (number < 0 || number > kMaxArguments - 2) {
        if (PyErr_Occurred() == nullptr) {
            PyErr_Format(PyExc_SystemError, "%s of a function of asyncio is out of range", name);
        }
        return false;
    }
    out = static_cast<std::uint8_t>(number);
    return true;
}

bool read_signature(Function& function) noexcept {
    const Ref code = Ref::steal(PyObject_GetAttrString(function.twin, "__code__"));
    const Ref flags = code ? Ref::steal(PyObject_GetAttrString(code.get(), "co_flags")) : Ref();
    Ref defaults =
        flags ? Ref::steal(PyObject_GetAttrString(function.twin, "__defaults__")) : Ref();
    Ref kwdefaults =
        defaults ? Ref::steal(PyObject_GetAttrString(function.twin, "__kwdefaults__")) : Ref();
    function.names = kwdefaults ? PyObject_GetAttrString(code.get(), "co_varnames") : nullptr;
    if (function.names == nullptr || !read_int(code.get(), "co_argcount", function.positional) ||
        !read_int(code.get(), "co_posonlyargcount", function.positional_only) ||
        !read_int(code.get(), "co_kwonlyargcount", function.keyword_only)) {
        return false;
    }
    if (function.positional + function.keyword_only > kMaxArguments - 2) {
        PyErr_SetString(PyExc_SystemError, "a function of asyncio has too many arguments");
        return false;
    }
    function.required = function.positional;
    if (PyTuple_Check(defaults.get())) {
        function.required -= static_cast<std::uint8_t>(PyTuple_GET_SIZE(defaults.get()));
        function.defaults = defaults.release();
    }
    if (PyDict_Check(kwdefaults.get())) {
        function.kwdefaults = kwdefaults.release();
    }
    const long bits = PyLong_AsLong(flags.get());
    function.varargs = (bits & CO_VARARGS) != 0;
    function.varkeywords = (bits & CO_VARKEYWORDS) != 0;
    function.plain = !function.varargs && !function.varkeywords && function.keyword_only == 0;
    return true;
}

PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\n"
     "Pickle by name."},
    {nullptr, nullptr, 0, nullptr},
};

char kName[] = "__name__";
char kQualname[] = "__qualname__";
char kDoc[] = "__doc__";

PyGetSetDef getset[] = {
    {"__module__", get_module, nullptr, nullptr, nullptr},
    {"__name__", get_text, nullptr, nullptr, kName},
    {"__qualname__", get_text, nullptr, nullptr, kQualname},
    {"__doc__", get_text, nullptr, nullptr, kDoc},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, vectorcall), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Function, weakrefs), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Function, dict), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

} // namespace

Ref make_function(PyObject* twin, FunctionBody body, void* extra, PyTypeObject* receiver) noexcept {
    Ref self = Ref::steal(allocate(state().function_type));
    if (!self) {
        return self;
    }
    Function& function = as_function(self.get());
    function.vectorcall = vectorcall;
    function.body = body;
    function.extra = extra;
    function.receiver = receiver;
    function.twin = new_ref(twin);
    return read_signature(function) ? std::move(self) : Ref();
}

namespace {

// The row's function, null without an error where asyncio has no such.
Ref make_from_row(PyObject* stock, const FunctionRow& row, PyTypeObject* receiver) noexcept {
    const Ref twin = Ref::steal(PyObject_GetAttrString(stock, row.name));
    if (twin) {
        return make_function(twin.get(), row.body, row.extra, receiver);
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return {};
}

} // namespace

bool add_functions(PyTypeObject* type, PyObject* stock, const FunctionRow* rows) noexcept {
    for (const FunctionRow* row = rows; row->name != nullptr; ++row) {
        const Ref function = make_from_row(stock, *row, type);
        if (function ? PyDict_SetItemString(type->tp_dict, row->name, function.get()) < 0
                     : PyErr_Occurred() != nullptr) {
            return false;
        }
    }
    PyType_Modified(type);
    return true;
}

bool add_module_functions(PyObject* module, const char* stock_module,
                          const FunctionRow* rows) noexcept {
    const Ref stock = Ref::steal(PyImport_ImportModule(stock_module));
    if (!stock) {
        return false;
    }
    for (const FunctionRow* row = rows; row->name != nullptr; ++row) {
        const Ref function = make_from_row(stock.get(), *row, nullptr);
        if (function ? PyModule_AddObjectRef(module, row->name, function.get()) < 0
                     : PyErr_Occurred() != nullptr) {
            return false;
        }
    }
    return true;
}

bool make_function_type(PyObject* module) noexcept {
    PyType_Slot slots[] = {
        {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
        {Py_tp_descr_get, reinterpret_cast<void*>(describe_get)},
        {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear_dict)},
        {Py_tp_methods, methods},
        {Py_tp_getset, getset},
        {Py_tp_members, members},
        {0, nullptr},
    };
    const TypeRecipe recipe = {"bucle.function",
                               slots,
                               sizeof(Function) - sizeof(PyObject),
                               alignof(Function),
                               nullptr,
                               nullptr,
                               Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_METHOD_DESCRIPTOR |
                                   Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL};
    state().function_type = make_type(module, recipe, nullptr);
    return state().function_type != nullptr;
}

} // namespace bucle::py
