// Making the types of transports: real subclasses of asyncio's abstract ones, whose methods have
// the functions of asyncio's own transport of the kind as twins.
#pragma once

#include "net/endpoint.hpp"
#include "py/type_builder.hpp"

#include <new>

namespace bucle::net {

struct TransportRecipe {
    const char* name; // "bucle.DatagramTransport"
    const char* doc;
    const char* base; // a class of asyncio.transports; null: `stock`
    const char* second_base;
    const char* stock_module; // where asyncio's own transport of the kind is
    const char* stock;
    const py::FunctionRow* functions; // beside those of EndpointSlots
    PyMethodDef* methods;             // what has no twin
    PyGetSetDef* getset;
    reprfunc repr; // null: that of `stock`
};

// A bare instance; null with an error set.
template <class T>
py::Ref make_endpoint(PyTypeObject* type) noexcept {
    py::Ref self = py::Ref::steal(py::allocate(type));
    if (self) {
        new (&endpoint_of<T>(self.get())) T;
    }
    return self;
}

template <class T>
struct TransportSlots {
    static int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
        if (const int stop = endpoint_of<T>(self).visit(visit, arg); stop != 0) {
            return stop;
        }
        if (const int stop = py::compat::visit_instance_dict(self, visit, arg); stop != 0) {
            return stop;
        }
        return py::visit_type(self, visit, arg);
    }
    static int clear(PyObject* self) noexcept {
        give_up_fd(self, endpoint_of<T>(self));
        endpoint_of<T>(self).clear();
        py::compat::clear_instance_dict(self);
        return 0;
    }
    static void finalize(PyObject* self) noexcept { finalize_endpoint(self, endpoint_of<T>(self)); }
    static void dealloc(PyObject* self) noexcept {
        if (!py::finalize_before_dealloc(self)) {
            return;
        }
        PyObject_GC_UnTrack(self);
        py::compat::clear_weakrefs(self);
        (void)clear(self);
        endpoint_of<T>(self).~T();
        py::free_instance(self);
    }
};

// Makes the type and adds it to the module. Null with an error set.
PyTypeObject* make_transport_type(PyObject* module, const TransportRecipe& recipe,
                                  const py::FunctionRow* common, PyType_Slot* slots,
                                  std::size_t own_size, std::size_t own_align,
                                  std::size_t* offset) noexcept;

template <class T>
PyTypeObject* make_transport_type(PyObject* module, const TransportRecipe& recipe) noexcept {
    using S = TransportSlots<T>;
    PyType_Slot slots[10] = {
        {Py_tp_traverse, reinterpret_cast<void*>(S::traverse)},
        {Py_tp_clear, reinterpret_cast<void*>(S::clear)},
        {Py_tp_finalize, reinterpret_cast<void*>(S::finalize)},
        {Py_tp_dealloc, reinterpret_cast<void*>(S::dealloc)},
        {0, nullptr},
    };
    return make_transport_type(module, recipe, EndpointSlots<T>::kFunctions, slots, sizeof(T),
                               alignof(T), &endpoint_offset<T>);
}

// Puts native functions on the type of the loop; their twins are those of a class of asyncio's.
[[nodiscard]] bool add_loop_functions(const char* stock_module, const char* stock,
                                      const py::FunctionRow* rows) noexcept;

} // namespace bucle::net
