// All that depends on the CPython version at compile time, as constants and small functions, so
// that no other file of C++ asks for a version (src/py/asyncio_abi.* may, for asyncio's own ABI).
#pragma once

#include "py/ref.hpp"

#if PY_VERSION_HEX < 0x030B0000
#error "bucle needs CPython 3.11 or newer"
#endif

namespace bucle::py::compat {

inline constexpr bool kHasEagerTasks = PY_VERSION_HEX >= 0x030C0000;
inline constexpr bool kTaskNamesAreLazy = PY_VERSION_HEX >= 0x030C0000;
inline constexpr bool kHasTaskGetContext = PY_VERSION_HEX >= 0x030C0000;
inline constexpr bool kThrowSignatureDeprecated = PY_VERSION_HEX >= 0x030C0000;
// A StopIteration that is thrown into a coroutine before it begins is converted up to 3.11; later
// that is the business of the coroutine's own code, which does not run then.
inline constexpr bool kStopThrownAtStartIsConverted = PY_VERSION_HEX < 0x030C0000;
// Up to 3.12 set_exception(StopIteration()) is refused; later it is wrapped in a RuntimeError.
inline constexpr bool kStopIterationIsWrapped = PY_VERSION_HEX >= 0x030D0000;
// From 3.13 on, uncancel() down to zero also forgets a cancellation that was not delivered yet.
inline constexpr bool kUncancelClearsMustCancel = PY_VERSION_HEX >= 0x030D0000;
// A class with __slots__ keeps its list of weak references in a slot of the object up to 3.11.
struct NoSlot {};
#if PY_VERSION_HEX >= 0x030C0000
using WeakrefsInSlots = NoSlot;
#else
using WeakrefsInSlots = PyObject*;
#endif
// From 3.14 on the interpreter keeps the list of tasks and the current task in its thread state.
inline constexpr bool kThreadStateKnowsTasks = PY_VERSION_HEX >= 0x030E0000;
// Before, the text of the error does not say which attribute cannot be deleted.
inline constexpr bool kUndeletableIsNamed = PY_VERSION_HEX >= 0x030E0000;
inline constexpr bool kHasThreadSafeHandle = PY_VERSION_HEX >= 0x030E0000;
inline constexpr bool kSecondInitRefused = PY_VERSION_HEX >= 0x030F0000;
inline constexpr bool kContextTypeChecked = PY_VERSION_HEX >= 0x030F0000;
// Static types (3.11's _asyncio) do not drop the reference that an instance holds on its type.
inline constexpr bool kBaseDeallocDropsType = PY_VERSION_HEX >= 0x030C0000;

// Takes the raised exception, normalised, with its traceback set on it; null when none is raised.
inline Ref take_exception() noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    return Ref::steal(PyErr_GetRaisedException());
#else
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == nullptr) {
        return {};
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr && value != nullptr) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return Ref::steal(value);
#endif
}

inline void put_exception(Ref exception) noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception.release());
#else
    if (!exception) {
        PyErr_Clear();
        return;
    }
    PyObject* value = exception.release();
    PyErr_Restore(Py_NewRef(Py_TYPE(value)), value, PyException_GetTraceback(value));
#endif
}

// Raises StopIteration(value), whatever the value is. From 3.12 on the interpreter makes the
// exception at once; filling it by hand instead of calling its class is 4 % of a queue's ping-pong.
inline void raise_stop_iteration(PyObject* value) noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    auto* const type = reinterpret_cast<PyTypeObject*>(PyExc_StopIteration);
    PyObject* const args = PyTuple_Pack(1, value);
    PyObject* const stop = args == nullptr ? nullptr : type->tp_alloc(type, 0);
    if (stop == nullptr) {
        Py_XDECREF(args);
        return;
    }
    auto* const fields = reinterpret_cast<PyStopIterationObject*>(stop);
    fields->args = args;
    fields->value = Py_NewRef(value);
    PyErr_SetRaisedException(stop);
#else
    if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
        PyObject* const stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        if (stop != nullptr) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        return;
    }
    PyErr_SetObject(PyExc_StopIteration, value);
#endif
}

// sys.get_coroutine_origin_tracking_depth()
inline int origin_tracking_depth() noexcept {
    return PyThreadState_Get()->coroutine_origin_tracking_depth;
}

inline bool is_finalizing() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

// The instance dictionary, wherever this version keeps it.
inline int visit_instance_dict(PyObject* self, visitproc visit, void* arg) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        return PyObject_VisitManagedDict(self, visit, arg);
    }
#elif PY_VERSION_HEX >= 0x030C0000
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        return _PyObject_VisitManagedDict(self, visit, arg);
    }
#else
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        PyObject** managed = _PyObject_GetDictPtr(self);
        Py_VISIT(managed == nullptr ? nullptr : *managed);
        return 0;
    }
#endif
    if (Py_TYPE(self)->tp_dictoffset > 0) {
        PyObject** dict = _PyObject_GetDictPtr(self);
        Py_VISIT(dict == nullptr ? nullptr : *dict);
    }
    return 0;
}

// Whether the instance has, or could have, a dict to clear. Only for types without inline values.
inline bool may_have_instance_dict(PyObject* self) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    constexpr int kManagedDictWord = -3;
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        return reinterpret_cast<PyObject**>(self)[kManagedDictWord] != nullptr;
    }
#endif
    return Py_TYPE(self)->tp_dictoffset != 0;
}

// The collector keeps two words before an object, the same in all versions; among others they say
// that the finalizer ran. For the memory of a dead object that is to become a new one.
inline void forget_collection(PyObject* object) noexcept {
    auto* words = reinterpret_cast<std::uintptr_t*>(object);
    words[-1] = words[-2] = 0;
}

// From 3.13 on instances of some types are made with room for attributes behind their fields. Ours
// seldom have any: without the room an object is 24 bytes smaller, and its memory can be pooled.
// To be called before the first instance is made.
inline void drop_inline_values([[maybe_unused]] PyTypeObject* type) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    type->tp_flags &= ~static_cast<unsigned long>(Py_TPFLAGS_INLINE_VALUES);
#endif
}

// The instance dictionary, borrowed; null where none was made. Up to 3.12 attributes may stand
// without one, and get it here.
inline PyObject* instance_dict(PyObject* self) noexcept {
    PyObject** const dict = _PyObject_GetDictPtr(self);
    return dict == nullptr ? nullptr : *dict;
}

// What a weak reference leads to; null without an error: nothing any more.
inline Ref weak_target(PyObject* reference) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject* target = nullptr;
    (void)PyWeakref_GetRef(reference, &target);
    return Ref::steal(target);
#else
    PyObject* const target = PyWeakref_GET_OBJECT(reference);
    return target == Py_None ? Ref() : Ref::borrow(target);
#endif
}

// The number of the state that a type and its bases are in; 0: it has none now.
inline unsigned type_version(PyTypeObject* type) noexcept {
    return type->tp_version_tag;
}

inline void clear_weakrefs(PyObject* self) noexcept {
    const Py_ssize_t offset = Py_TYPE(self)->tp_weaklistoffset;
    if (offset != 0 &&
        *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + offset) != nullptr) {
        PyObject_ClearWeakRefs(self);
    }
}

inline void clear_instance_dict(PyObject* self) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        PyObject_ClearManagedDict(self);
        return;
    }
#elif PY_VERSION_HEX >= 0x030C0000
    if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_MANAGED_DICT)) {
        _PyObject_ClearManagedDict(self);
        return;
    }
#endif
    PyObject** dict = _PyObject_GetDictPtr(self);
    if (dict != nullptr) {
        Py_CLEAR(*dict);
    }
}

} // namespace bucle::py::compat
