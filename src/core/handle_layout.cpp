// Where the fields of handles stand: in the slots of asyncio's classes, if each slot is where
// HandleCore has its field and there is no other; else behind the largest of the three classes. One
// place for all types, so that finding the fields of a handle needs no look at its type.
#include "core/handle.hpp"

#include <algorithm>
#include <cstddef>

#include <structmember.h> // PyMemberDef, up to 3.11

namespace bucle::core {

std::size_t handle_offset = 0;

namespace {

bool stands_at(PyObject* type, const char* slot, std::size_t field) noexcept {
    PyObject* found = PyDict_GetItemString(reinterpret_cast<PyTypeObject*>(type)->tp_dict, slot);
    return found != nullptr && Py_IS_TYPE(found, &PyMemberDescr_Type) &&
           reinterpret_cast<PyMemberDescrObject*>(found)->d_member->offset ==
               static_cast<Py_ssize_t>(sizeof(PyObject) + field);
}

std::size_t size_of(PyObject* type) noexcept {
    return type == nullptr
               ? 0
               : static_cast<std::size_t>(reinterpret_cast<PyTypeObject*>(type)->tp_basicsize);
}

bool slots_are_ours(const py::State& state) noexcept {
    constexpr std::size_t kThird = offsetof(HandleCore, third_arg);
    constexpr std::size_t kPlain = sizeof(PyObject) + kThird;
    PyObject* const plain = state.base_handle;
    PyObject* const timer = state.base_timer_handle;
    PyObject* const threadsafe = state.base_threadsafe_handle;
    return size_of(plain) == kPlain && size_of(timer) == kPlain + 2 * sizeof(PyObject*) &&
           stands_at(plain, "_args", offsetof(HandleCore, first_arg)) &&
           stands_at(plain, "_callback", offsetof(HandleCore, callback)) &&
           stands_at(plain, "_cancelled", offsetof(HandleCore, second_arg)) &&
           stands_at(plain, "_context", offsetof(HandleCore, context)) &&
           stands_at(plain, "_loop", offsetof(HandleCore, loop)) &&
           stands_at(plain, "_repr", offsetof(HandleCore, repr)) &&
           stands_at(plain, "_source_traceback", offsetof(HandleCore, source_traceback)) &&
           stands_at(timer, "_scheduled", kThird) &&
           stands_at(timer, "_when", offsetof(HandleCore, running)) &&
           (threadsafe == nullptr || (size_of(threadsafe) == kPlain + sizeof(PyObject*) &&
                                      stands_at(threadsafe, "_lock", kThird)));
}

} // namespace

std::size_t find_handle_offset() noexcept {
    const py::State& state = py::state();
    if (slots_are_ours(state)) {
        return sizeof(PyObject);
    }
    constexpr std::size_t kAlign = alignof(TimerCore);
    const std::size_t largest =
        std::max({size_of(state.base_handle), size_of(state.base_timer_handle),
                  size_of(state.base_threadsafe_handle)});
    return (largest + kAlign - 1) / kAlign * kAlign;
}

} // namespace bucle::core
