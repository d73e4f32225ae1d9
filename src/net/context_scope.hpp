// ContextScope: a transport's context around the calls of its protocol, and the mark by which the
// loop refuses to be run inside of them. A null context is an empty one: it is lent from the loop's
// spare and taken back if it stayed empty and nobody else got hold of it, so that an idle
// connection has none.
//
// Invariant: while it is entered the owner's field holds it, so that what the protocol schedules
// for the transport runs in the same context.
#pragma once

#include "core/context.hpp"
#include "loop/loop.hpp"
#include "py/error.hpp"

namespace bucle::net {

// The owner's context, made if it is an empty one; null with an error set.
inline PyObject* need_context(py::Ref& spare, py::Ref& context) noexcept {
    if (!context) {
        context = spare ? std::move(spare) : core::make_empty_context();
    }
    return context.get();
}

// Ends need_context() where the context may have become null again.
inline void take_back_context(py::Ref& spare, py::Ref& context) noexcept {
    if (context && py::is_sole_owner(context.get()) && core::is_empty_context(context.get())) {
        spare = std::move(context);
    }
}

// Core and context must outlive the scope: whoever is called holds the owner, and the loop runs.
class ContextScope {
  public:
    ContextScope(loop::LoopCore& core, py::Ref& context) noexcept
        : call_(core), spare_(core.spare_context), context_(context) {
        entered_ = py::Ref::borrow(need_context(spare_, context));
        if (entered_ && PyContext_Enter(entered_.get()) < 0) {
            entered_.reset();
        }
    }
    ContextScope(const ContextScope&) = delete;
    ContextScope& operator=(const ContextScope&) = delete;
    ~ContextScope() {
        if (!entered_) {
            return;
        }
        if (PyErr_Occurred() == nullptr) [[likely]] {
            leave();
        } else {
            const py::ErrorScope keep;
            leave();
        }
    }

    // False: an error is set, as when the context is entered already.
    explicit operator bool() const noexcept { return static_cast<bool>(entered_); }

  private:
    void leave() noexcept {
        if (PyContext_Exit(entered_.get()) < 0) {
            PyErr_WriteUnraisable(entered_.get());
        }
        entered_.reset();
        take_back_context(spare_, context_);
    }

    loop::ProtocolCall call_;
    py::Ref& spare_;
    py::Ref& context_;
    py::Ref entered_;
};

} // namespace bucle::net
