// Growable: an array that grows, for items that move without throwing. Unlike std::vector it says
// by a bool that there is no memory: this code is compiled without exceptions (CMakeLists.txt says
// why), so that a failed allocation could not be caught.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace bucle::base {

template <class T>
class Growable {
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>);
    static_assert(alignof(T) <= alignof(std::max_align_t), "items come from malloc");

  public:
    Growable() noexcept = default;
    Growable(const Growable&) = delete;
    Growable& operator=(const Growable&) = delete;
    ~Growable() { clear(); }

    [[nodiscard]] bool push_back(T item) noexcept {
        if (size_ == capacity_ && !reserve(capacity_ == 0 ? 4 : capacity_ * 2)) {
            return false;
        }
        new (items_ + size_++) T(std::move(item));
        return true;
    }

    // Makes it at least `size` long, the new items value-initialised. The room doubles at least, so
    // that extending it one by one copies no item more than a few times.
    [[nodiscard]] bool extend_to(std::size_t size) noexcept {
        if (size > capacity_ && !reserve(std::max(size, capacity_ * 2))) {
            return false;
        }
        while (size_ < size) {
            new (items_ + size_++) T();
        }
        return true;
    }

    // The item is moved out first and destroyed last: destroying it may change the array.
    void erase(std::size_t at) noexcept {
        const T gone = std::move(items_[at]);
        for (std::size_t i = at; i + 1 < size_; ++i) {
            items_[i] = std::move(items_[i + 1]);
        }
        items_[--size_].~T();
    }

    void clear() noexcept {
        T* const items = std::exchange(items_, nullptr);
        const std::size_t size = std::exchange(size_, 0);
        capacity_ = 0;
        for (std::size_t i = 0; i != size; ++i) {
            items[i].~T();
        }
        std::free(items);
    }

    void swap(Growable& other) noexcept {
        std::swap(items_, other.items_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    T& operator[](std::size_t at) noexcept { return items_[at]; }
    const T& operator[](std::size_t at) const noexcept { return items_[at]; }
    T* begin() noexcept { return items_; }
    T* end() noexcept { return items_ + size_; }
    const T* begin() const noexcept { return items_; }
    const T* end() const noexcept { return items_ + size_; }

  private:
    bool reserve(std::size_t capacity) noexcept {
        if (capacity > SIZE_MAX / sizeof(T)) {
            return false;
        }
        auto* const items = static_cast<T*>(std::malloc(capacity * sizeof(T)));
        if (items == nullptr) {
            return false;
        }
        for (std::size_t i = 0; i != size_; ++i) {
            new (items + i) T(std::move(items_[i]));
            items_[i].~T();
        }
        std::free(items_);
        items_ = items;
        capacity_ = capacity;
        return true;
    }

    T* items_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace bucle::base
