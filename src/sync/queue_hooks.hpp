// Hooks: what asyncio's queue calls on itself by name, and a subclass, or one object of a subclass,
// may have replaced. What was not replaced is done natively, without a call: asked of the type once
// for each state that it is in (the interpreter numbers these), and of the object's dict each time.
// The types themselves, exactly, have no hooks.
#pragma once

#include "sync/primitive.hpp"

namespace bucle::sync {

enum class Hook : std::uint8_t {
    full,
    empty,
    qsize,
    put_nowait,
    get_nowait,
    wakeup_next,
    get_loop,
    put_item, // _put
    get_item, // _get
};
inline constexpr int kHooks = 9;

// How items are kept.
enum class Kind : std::uint8_t {
    by_name, // as a subclass says
    fifo,
    lifo,
    heap,
};

// by_name for every subclass.
inline Kind exact_kind(PyObject* self) noexcept {
    const py::State& state = py::state();
    PyTypeObject* const type = Py_TYPE(self);
    return type == state.queue_type            ? Kind::fifo
           : type == state.lifo_queue_type     ? Kind::lifo
           : type == state.priority_queue_type ? Kind::heap
                                               : Kind::by_name;
}

namespace detail {
bool is_native(PyObject* self, Hook hook) noexcept;
Kind kind_by_hook(PyObject* self, Hook hook) noexcept;
} // namespace detail

inline bool is_native(PyObject* self, Hook hook) noexcept {
    return exact_kind(self) != Kind::by_name || detail::is_native(self, hook);
}

// How self._put(item), and self._get(), keep the items.
inline Kind putting_kind(PyObject* self) noexcept {
    const Kind exact = exact_kind(self);
    return exact != Kind::by_name ? exact : detail::kind_by_hook(self, Hook::put_item);
}
inline Kind getting_kind(PyObject* self) noexcept {
    const Kind exact = exact_kind(self);
    return exact != Kind::by_name ? exact : detail::kind_by_hook(self, Hook::get_item);
}

// To be called when the types are made, before anybody can have replaced anything.
[[nodiscard]] bool remember_native_hooks() noexcept;

} // namespace bucle::sync
