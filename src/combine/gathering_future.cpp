// See gathering_future.hpp. Its bases are our Future and asyncio's own class.
#include "combine/gathering_future.hpp"

#include "core/task.hpp"
#include "py/args.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

std::size_t gathering_offset = 0; // plain number, equal in every interpreter

using Fastcall = PyObject* const*;

PyTypeObject* base() noexcept {
    return py::state().future_type;
}

PyObject* cancel(PyObject* self, Fastcall args, Py_ssize_t nargs, PyObject* kwnames) noexcept {
    PyObject* message = nullptr;
    if (!core::parse_cancel(args, nargs, kwnames, &message)) {
        return nullptr;
    }
    if (!core::future_core(self)->pending()) {
        Py_RETURN_FALSE;
    }
    const py::Ref children = gathering_of(self).children.clone();
    bool any = false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(children.get()); ++i) {
        const int accepted = core::cancel_any(PyList_GET_ITEM(children.get(), i), message);
        if (accepted < 0) {
            return nullptr;
        }
        any = any || accepted > 0;
    }
    if (any) {
        gathering_of(self).cancel_requested = true;
    }
    return PyBool_FromLong(any);
}

PyObject* get_children(PyObject* self, void*) noexcept {
    return gathering_of(self).children.clone().release();
}

int set_children(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr || !PyList_Check(value)) {
        py::raise_type_error("_children must be a list");
        return -1;
    }
    gathering_of(self).children = py::Ref::borrow(value);
    return 0;
}

PyObject* get_cancel_requested(PyObject* self, void*) noexcept {
    return PyBool_FromLong(gathering_of(self).cancel_requested);
}

int set_cancel_requested(PyObject* self, PyObject* value, void*) noexcept {
    const int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        gathering_of(self).cancel_requested = truth != 0;
    }
    return truth < 0 ? -1 : 0;
}

int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    for (const py::Ref* ref : {&gathering_of(self).children, &gathering_of(self).waiter}) {
        if (const int stop = ref->visit(visit, arg); stop != 0) {
            return stop;
        }
    }
    return base()->tp_traverse(self, visit, arg); // visits the type as well
}

// The list itself stays: cancel() must find one.
int clear(PyObject* self) noexcept {
    Gathering& gathering = gathering_of(self);
    gathering.waiter.reset();
    if (gathering.children) {
        (void)PyList_SetSlice(gathering.children.get(), 0, PY_SSIZE_T_MAX, nullptr);
    }
    return base()->tp_clear(self);
}

void dealloc(PyObject* self) noexcept {
    if (!py::finalize_before_dealloc(self)) {
        return;
    }
    PyObject_GC_UnTrack(self);
    gathering_of(self).waiter.reset();
    gathering_of(self).children.reset();
    base()->tp_dealloc(self);
}

PyMethodDef methods[] = {
    {"cancel", py::as_method(cancel), METH_FASTCALL | METH_KEYWORDS,
     "cancel($self, /, msg=None)\n--\n\n"
     "Cancel the children; True if any of them accepted."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"_children", get_children, set_children, nullptr, nullptr},
    {"_cancel_requested", get_cancel_requested, set_cancel_requested, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

} // namespace

Gathering& gathering_of(PyObject* self) noexcept {
    return *py::own_fields<Gathering>(self, gathering_offset);
}

py::Ref make_gathering_future() noexcept {
    py::Ref self = py::Ref::steal(py::allocate(py::state().gathering_future_type));
    if (self) {
        gathering_of(self.get()).children = py::Ref::steal(PyList_New(0));
    }
    return self && gathering_of(self.get()).children ? std::move(self) : py::Ref();
}

bool make_gathering_future_type(PyObject* module) noexcept {
    const py::Ref tasks = py::Ref::steal(PyImport_ImportModule("asyncio.tasks"));
    const py::Ref stock =
        tasks ? py::Ref::steal(PyObject_GetAttrString(tasks.get(), "_GatheringFuture")) : py::Ref();
    if (!stock) {
        return false;
    }
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("The future that gather() returns.")},
        {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(clear)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_methods, methods},
        {Py_tp_getset, getset},
        {0, nullptr},
    };
    py::TypeRecipe recipe = {"bucle._GatheringFuture",
                             slots,
                             sizeof(Gathering),
                             alignof(Gathering),
                             base(),
                             py::state().meta,
                             Py_TPFLAGS_DISALLOW_INSTANTIATION};
    recipe.stock = reinterpret_cast<PyTypeObject*>(stock.get());
    py::state().gathering_future_type = py::make_type(module, recipe, &gathering_offset);
    return py::state().gathering_future_type != nullptr;
}

} // namespace bucle::combine
