// ScopeExit: runs a callable when the scope is left, unless dismissed.
//
// Invariant: the callable runs exactly once or, after dismiss(), never.
// Why: an invariant that is broken for the length of a block is restored by a destructor, so that
// no early return can forget it.
#pragma once

#include <utility>

namespace bucle::base {

template <class F>
class [[nodiscard]] ScopeExit {
  public:
    explicit ScopeExit(F action) noexcept : action_(std::move(action)) {}
    ~ScopeExit() {
        if (armed_) {
            action_();
        }
    }

    ScopeExit(const ScopeExit&) = delete;
    ScopeExit& operator=(const ScopeExit&) = delete;

    void dismiss() noexcept { armed_ = false; }

  private:
    F action_;
    bool armed_ = true;
};

} // namespace bucle::base
