// FreeList: a fixed number of raw memory blocks kept for the next allocation of the same type.
//
// Invariant: slots_[0, size_) hold blocks that nobody else refers to.
// Why an array and not a list threaded through the blocks: a kept block is never read or written
// here, so it may still hold whatever the allocator's debug hooks put into it.
// Not thread-safe: whoever owns the list (the GIL, a loop's thread) serialises access. The list
// cannot know how its blocks are freed; the owner drains it before it dies.
#pragma once

#include <array>
#include <cstddef>

namespace bucle::base {

template <std::size_t Max>
class FreeList {
    static_assert(Max > 0);

  public:
    // Null when the list is empty: the caller allocates.
    [[nodiscard]] void* pop() noexcept {
        if (size_ == 0) [[unlikely]] {
            return nullptr;
        }
        return slots_[--size_];
    }

    // False when the list is full: the caller frees the block.
    [[nodiscard]] bool push(void* block) noexcept {
        if (size_ == Max) [[unlikely]] {
            return false;
        }
        slots_[size_++] = block;
        return true;
    }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    // Hands every block to `release`.
    template <class F>
    void drain(F&& release) noexcept {
        while (size_ != 0) {
            release(slots_[--size_]);
        }
    }

  private:
    std::size_t size_ = 0;
    std::array<void*, Max> slots_{};
};

} // namespace bucle::base
