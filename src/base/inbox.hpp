// Inbox: what other threads hand to a loop; many producers, one consumer.
//
// Invariant: items_[0, count_) wait, in the order of their pushes; the first push into an empty
// inbox says so, and only that pusher wakes the consumer.
// Why a mutex and a buffer, not a lock-free list: a push is a store under an uncontended lock, a
// drain takes everything at once and feeds it with the lock released, nothing is allocated an item.
// A push is not safe in a signal handler; a fork may happen in any thread at any time: the stores
// of a push are ordered so that the child finds a whole buffer once it has called reset_after_fork.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

namespace bucle::base {

enum class Pushed : std::uint8_t {
    first,     // the inbox was empty: the consumer must be woken
    queued,    // somebody else woke it already
    no_memory, // nothing happened
};

template <class T>
class Inbox {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(alignof(T) <= alignof(std::max_align_t), "slots come from malloc");

  public:
    static constexpr std::size_t kFirstCapacity = 64;
    // A drained buffer up to this size is kept for the next pushes.
    static constexpr std::size_t kKeptCapacity = 4096;

    Inbox() noexcept = default;
    ~Inbox() { std::free(items_.load(std::memory_order_relaxed)); }
    Inbox(const Inbox&) = delete;
    Inbox& operator=(const Inbox&) = delete;

    // From any thread.
    [[nodiscard]] Pushed push(T item) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::size_t count = count_.load(std::memory_order_relaxed);
        if (count == capacity_.load(std::memory_order_relaxed) && !grow(count)) {
            return Pushed::no_memory;
        }
        items_.load(std::memory_order_relaxed)[count] = item;
        count_.store(count + 1, std::memory_order_release);
        return count == 0 ? Pushed::first : Pushed::queued;
    }

    // Hints, without the lock: what was pushed before a wake-up is seen after it.
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::size_t size() const noexcept {
        return count_.load(std::memory_order_acquire);
    }

    // Consumer only: feeds all that waits to `feed(T)`, in order, outside the lock; says how many.
    // What is pushed meanwhile waits for the next drain.
    template <class F>
    std::size_t drain(F&& feed) noexcept {
        if (empty()) {
            return 0;
        }
        T* items = nullptr;
        std::size_t capacity = 0;
        std::size_t count = 0;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            count = count_.load(std::memory_order_relaxed);
            count_.store(0, std::memory_order_release);
            // The capacity goes first: a child that forks off here must not trust a lost buffer.
            capacity = capacity_.load(std::memory_order_relaxed);
            capacity_.store(0, std::memory_order_release);
            items = items_.load(std::memory_order_relaxed);
            items_.store(nullptr, std::memory_order_release);
        }
        for (std::size_t i = 0; i != count; ++i) {
            feed(items[i]);
        }
        give_back(items, capacity);
        return count;
    }

    // Visits what waits, under the lock: `visit(T)` must not push, drain or wait for a pusher.
    template <class F>
    void for_each(F&& visit) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::size_t count = count_.load(std::memory_order_relaxed);
        const T* const items = items_.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i != count; ++i) {
            visit(items[i]);
        }
    }

    // In the child, before anything else: a thread that is not there may have held the lock.
    // What was waiting stays.
    void reset_after_fork() noexcept { new (&mutex_) std::mutex(); }

  private:
    // Not realloc: between its freeing of the old buffer and our store of the new one, a child of
    // a fork would hold a dangling pointer.
    [[gnu::noinline, gnu::cold]] bool grow(std::size_t count) noexcept {
        const std::size_t old_capacity = capacity_.load(std::memory_order_relaxed);
        const std::size_t capacity = old_capacity != 0 ? old_capacity * 2 : kFirstCapacity;
        if (capacity > SIZE_MAX / sizeof(T)) {
            return false;
        }
        T* const items = static_cast<T*>(std::malloc(capacity * sizeof(T)));
        if (items == nullptr) {
            return false;
        }
        T* const old = items_.load(std::memory_order_relaxed);
        if (count != 0) {
            std::copy_n(old, count, items);
        }
        items_.store(items, std::memory_order_release);
        capacity_.store(capacity, std::memory_order_release);
        std::free(old);
        return true;
    }

    void give_back(T* items, std::size_t capacity) noexcept {
        if (capacity <= kKeptCapacity) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (items_.load(std::memory_order_relaxed) == nullptr) {
                items_.store(std::exchange(items, nullptr), std::memory_order_release);
                capacity_.store(capacity, std::memory_order_release);
            }
        }
        std::free(items);
    }

    // Atomic for the order of their stores, which a fork in another thread may cut anywhere.
    std::mutex mutex_;
    std::atomic<T*> items_ = nullptr;
    std::atomic<std::size_t> capacity_ = 0;
    std::atomic<std::size_t> count_ = 0;
};

} // namespace bucle::base
