// RingQueue: a growable double-ended queue in one power-of-two array, the loop's ready queue.
//
// Invariant: the items are slots_[i & (capacity_ - 1)] for i in [head_, tail_); head_ and tail_
// only count (they may wrap around), so size is tail_ - head_ and no slot is wasted.
// Why not std::deque: push and pop are each a compare, a mask and a move that inline to a few
// instructions, growth reports failure instead of throwing, and a swap takes a batch out in O(1).
// Items are trivially copyable: a queue of references owns nothing, its user does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace bucle::base {

template <class T>
class RingQueue {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(alignof(T) <= alignof(std::max_align_t), "slots come from malloc");

  public:
    static constexpr std::size_t kFirstCapacity = 64;
    // What an empty queue keeps after a burst; more is given back by shrink().
    static constexpr std::size_t kKeptCapacity = 4096;

    RingQueue() noexcept = default;
    ~RingQueue() { std::free(slots_); }

    RingQueue(RingQueue&& other) noexcept { swap(other); }
    RingQueue& operator=(RingQueue&& other) noexcept {
        RingQueue taken(std::move(other));
        swap(taken);
        return *this;
    }
    RingQueue(const RingQueue&) = delete;
    RingQueue& operator=(const RingQueue&) = delete;

    [[nodiscard]] bool push_back(T item) noexcept {
        if (tail_ - head_ == capacity_) [[unlikely]] {
            if (!grow()) {
                return false;
            }
        }
        slots_[tail_++ & (capacity_ - 1)] = item;
        return true;
    }

    [[nodiscard]] bool push_front(T item) noexcept {
        if (tail_ - head_ == capacity_) [[unlikely]] {
            if (!grow()) {
                return false;
            }
        }
        slots_[--head_ & (capacity_ - 1)] = item;
        return true;
    }

    // The queue must not be empty, here and in back().
    T pop_front() noexcept { return slots_[head_++ & (capacity_ - 1)]; }
    [[nodiscard]] T& back() noexcept { return slots_[(tail_ - 1) & (capacity_ - 1)]; }

    // The i-th item from the front, i < size().
    [[nodiscard]] T operator[](std::size_t i) const noexcept {
        return slots_[(head_ + i) & (capacity_ - 1)];
    }

    [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
    [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

    void swap(RingQueue& other) noexcept {
        std::swap(slots_, other.slots_);
        std::swap(capacity_, other.capacity_);
        std::swap(head_, other.head_);
        std::swap(tail_, other.tail_);
    }

    void clear() noexcept {
        head_ = tail_ = 0;
        shrink();
    }

    // Room for `count` items in all: that many pushes cannot fail.
    [[nodiscard]] bool reserve(std::size_t count) noexcept {
        if (count <= capacity_) {
            return true;
        }
        std::size_t wanted = capacity_ != 0 ? capacity_ : kFirstCapacity;
        while (wanted < count) {
            if (wanted > kMaxCapacity / 2) {
                return false;
            }
            wanted *= 2;
        }
        return move_to(wanted);
    }

    // Gives the memory of a burst back, if the queue is empty; cheap to call when there is none.
    void shrink() noexcept {
        if (capacity_ <= kKeptCapacity || !empty()) [[likely]] {
            return;
        }
        std::free(slots_);
        slots_ = nullptr;
        capacity_ = head_ = tail_ = 0;
        // A refusal is harmless: the next push tries again.
        static_cast<void>(move_to(kKeptCapacity));
    }

  private:
    static constexpr std::size_t kMaxCapacity = SIZE_MAX / 2 + 1; // the largest power of two

    // Out of line and cold, so that push inlines without it.
    [[gnu::noinline, gnu::cold]] bool grow() noexcept { return reserve(size() + 1); }

    bool move_to(std::size_t capacity) noexcept {
        if (capacity > SIZE_MAX / sizeof(T)) {
            return false;
        }
        T* const slots = static_cast<T*>(std::malloc(capacity * sizeof(T)));
        if (slots == nullptr) {
            return false;
        }
        const std::size_t count = size();
        if (count != 0) {
            const std::size_t first = head_ & (capacity_ - 1);
            const std::size_t straight = count < capacity_ - first ? count : capacity_ - first;
            std::copy_n(slots_ + first, straight, slots);
            std::copy_n(slots_, count - straight, slots + straight);
        }
        std::free(slots_);
        slots_ = slots;
        capacity_ = capacity;
        head_ = 0;
        tail_ = count;
        return true;
    }

    T* slots_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
};

} // namespace bucle::base
