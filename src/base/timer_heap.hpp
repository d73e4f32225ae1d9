// TimerHeap: a 4-ary min-heap of (when, seq, item), the loop's timers.
//
// Invariant: no entry sorts before its parent; seq counts pushes, so equal deadlines come out in
// the order in which they went in.
// Cancelling is lazy: the item is marked by its owner, note_cancelled() counts, and compact()
// drops the marked ones once they are more than 64 and more than half, O(1) amortised.
// Why 4-ary: half the depth of a binary heap, and siblings share a cache line or two. Removed
// items are given to a sink only when the heap is whole again, since a sink may run code that
// pushes, pops and compacts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace bucle::base {

template <class Item>
class TimerHeap {
  public:
    struct Entry {
        std::int64_t when;
        std::uint64_t seq;
        Item* item;

        // Bitwise on purpose: the outcome is unpredictable, so no branch is better than two.
        [[nodiscard]] bool before(const Entry& other) const noexcept {
            const auto earlier = static_cast<unsigned>(when < other.when);
            const auto level = static_cast<unsigned>(when == other.when);
            const auto first = static_cast<unsigned>(seq < other.seq);
            return (earlier | (level & first)) != 0;
        }
    };

    static constexpr std::size_t kFirstCapacity = 64;
    static constexpr std::size_t kCancelledAllowed = 64;

    TimerHeap() noexcept = default;
    ~TimerHeap() { std::free(entries_); }

    TimerHeap(TimerHeap&& other) noexcept { swap(other); }
    TimerHeap& operator=(TimerHeap&& other) noexcept {
        TimerHeap taken(std::move(other));
        swap(taken);
        return *this;
    }
    TimerHeap(const TimerHeap&) = delete;
    TimerHeap& operator=(const TimerHeap&) = delete;

    [[nodiscard]] bool push(std::int64_t when, Item* item) noexcept {
        if (size_ == capacity_) [[unlikely]] {
            if (!grow()) {
                return false;
            }
        }
        sift_up(size_++, Entry{when, next_seq_++, item});
        return true;
    }

    // The heap must not be empty, here and in pop().
    [[nodiscard]] const Entry& top() const noexcept { return entries_[0]; }

    Entry pop() noexcept {
        const Entry first = entries_[0];
        const Entry last = entries_[--size_];
        if (size_ != 0) {
            sift_down(0, last);
        }
        return first;
    }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

    // In heap order, not sorted; i < size().
    [[nodiscard]] const Entry& operator[](std::size_t i) const noexcept { return entries_[i]; }

    // An item in the heap was marked; its counterpart when a marked item came out by pop().
    void note_cancelled() noexcept { ++cancelled_; }
    void note_cancelled_popped() noexcept {
        if (cancelled_ != 0) {
            --cancelled_;
        }
    }
    [[nodiscard]] std::size_t cancelled() const noexcept { return cancelled_; }
    [[nodiscard]] bool wants_compaction() const noexcept {
        return cancelled_ > kCancelledAllowed && cancelled_ > size_ / 2;
    }

    // Takes out every item for which `is_cancelled(Item*)` holds, whether or not that is due, then
    // gives each to `sink(Item*)`; says how many. `is_cancelled` must not touch the heap. What is
    // kept moves to a new, smaller array: the old one carries the removed items through a sink
    // that changes the heap. Without memory for it nothing happens, the items come out by pop().
    template <class Pred, class Sink>
    std::size_t compact(Pred&& is_cancelled, Sink&& sink) noexcept {
        const std::size_t total = size_;
        std::size_t kept = 0;
        for (std::size_t i = 0; i != total; ++i) {
            kept += is_cancelled(entries_[i].item) ? 0 : 1;
        }
        if (kept == total) {
            cancelled_ = 0;
            return 0;
        }
        std::size_t capacity = kFirstCapacity;
        while (capacity < kept) {
            capacity *= 2;
        }
        Entry* const whole = allocate(capacity);
        if (whole == nullptr) {
            return 0;
        }
        Entry* const old = std::exchange(entries_, whole);
        std::size_t removed = 0;
        size_ = 0;
        for (std::size_t i = 0; i != total; ++i) {
            const Entry entry = old[i];
            if (is_cancelled(entry.item)) {
                old[removed++] = entry;
            } else {
                entries_[size_++] = entry;
            }
        }
        capacity_ = capacity;
        cancelled_ = 0;
        heapify();
        for (std::size_t i = 0; i != removed; ++i) {
            sink(old[i].item);
        }
        std::free(old);
        return removed;
    }

    // Empties the heap and gives its memory back; the items go to `sink(Item*)` afterwards.
    template <class Sink>
    void clear(Sink&& sink) noexcept {
        Entry* const old = std::exchange(entries_, nullptr);
        const std::size_t total = std::exchange(size_, 0);
        capacity_ = 0;
        cancelled_ = 0;
        for (std::size_t i = 0; i != total; ++i) {
            sink(old[i].item);
        }
        std::free(old);
    }
    void clear() noexcept {
        clear([](Item*) noexcept {});
    }

    void swap(TimerHeap& other) noexcept {
        std::swap(entries_, other.entries_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        std::swap(cancelled_, other.cancelled_);
        std::swap(next_seq_, other.next_seq_);
    }

  private:
    static constexpr std::size_t kArity = 4;

    static Entry* allocate(std::size_t capacity) noexcept {
        if (capacity > SIZE_MAX / sizeof(Entry)) {
            return nullptr;
        }
        return static_cast<Entry*>(std::malloc(capacity * sizeof(Entry)));
    }

    [[gnu::noinline, gnu::cold]] bool grow() noexcept {
        const std::size_t capacity = capacity_ != 0 ? capacity_ * 2 : kFirstCapacity;
        Entry* const entries = allocate(capacity);
        if (entries == nullptr) {
            return false;
        }
        if (size_ != 0) {
            std::copy_n(entries_, size_, entries);
        }
        std::free(entries_);
        entries_ = entries;
        capacity_ = capacity;
        return true;
    }

    // Both sifts move a hole to where `entry` belongs and write it once.
    void sift_up(std::size_t hole, const Entry& entry) noexcept {
        while (hole != 0) {
            const std::size_t parent = (hole - 1) / kArity;
            if (!entry.before(entries_[parent])) {
                break;
            }
            entries_[hole] = entries_[parent];
            hole = parent;
        }
        entries_[hole] = entry;
    }

    void sift_down(std::size_t hole, const Entry& entry) noexcept {
        for (;;) {
            const std::size_t first = hole * kArity + 1;
            if (first >= size_) {
                break;
            }
            const std::size_t end = first + kArity < size_ ? first + kArity : size_;
            std::size_t least = first;
            for (std::size_t child = first + 1; child != end; ++child) {
                least = entries_[child].before(entries_[least]) ? child : least;
            }
            if (!entries_[least].before(entry)) {
                break;
            }
            entries_[hole] = entries_[least];
            hole = least;
        }
        entries_[hole] = entry;
    }

    void heapify() noexcept {
        if (size_ < 2) {
            return;
        }
        for (std::size_t i = (size_ - 2) / kArity + 1; i-- != 0;) {
            const Entry entry = entries_[i];
            sift_down(i, entry);
        }
    }

    Entry* entries_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    std::size_t cancelled_ = 0;
    std::uint64_t next_seq_ = 0;
};

} // namespace bucle::base
