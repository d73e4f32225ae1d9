// IntrusiveList: a circular doubly linked list through a ListNode inside each item.
//
// Invariant: a node is linked into exactly one list, or both its pointers are null; all-zero
// memory is an unlinked node, so objects from a zeroing allocator need no constructor call.
// Why: linking and unlinking are four stores, never fail and never allocate, and an item can
// leave without knowing in which list it is. The list owns nothing.
// Iteration reads the successor before an item is visited: the visitor may unlink that item (and
// free it), but no other. Where anything can happen, pop_front() until the list is empty.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace bucle::base {

struct ListNode {
    ListNode* prev = nullptr;
    ListNode* next = nullptr;

    [[nodiscard]] bool linked() const noexcept { return next != nullptr; }

    // Does nothing when not linked.
    void unlink() noexcept {
        if (next == nullptr) {
            return;
        }
        prev->next = next;
        next->prev = prev;
        prev = next = nullptr;
    }
};

template <class T, ListNode T::* Member>
class IntrusiveList {
  public:
    class Iterator {
      public:
        explicit Iterator(ListNode* node) noexcept : node_(node), after_(node->next) {}
        T& operator*() const noexcept { return *owner(node_); }
        T* operator->() const noexcept { return owner(node_); }
        Iterator& operator++() noexcept {
            node_ = after_;
            after_ = node_->next;
            return *this;
        }
        bool operator==(const Iterator& other) const noexcept { return node_ == other.node_; }

      private:
        ListNode* node_;
        ListNode* after_;
    };

    IntrusiveList() noexcept { reset(); }
    // What is still linked is left unlinked, not pointing into a dead list.
    ~IntrusiveList() { clear(); }
    // Nodes point at the sentinel, so the list has to stay where it is.
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;

    // The item must not be linked.
    void push_back(T* item) noexcept { insert_before(&sentinel_, &(item->*Member)); }

    // O(1), from whichever list the item is in; does nothing when it is in none.
    static void unlink(T* item) noexcept { (item->*Member).unlink(); }
    [[nodiscard]] static bool linked(const T* item) noexcept { return (item->*Member).linked(); }

    [[nodiscard]] bool empty() const noexcept { return sentinel_.next == &sentinel_; }

    // Null when the list is empty, here and in pop_front().
    [[nodiscard]] T* front() const noexcept { return empty() ? nullptr : owner(sentinel_.next); }
    T* pop_front() noexcept {
        T* const item = front();
        if (item != nullptr) {
            unlink(item);
        }
        return item;
    }

    void clear() noexcept {
        while (pop_front() != nullptr) {
        }
    }

    // Appends all of the other list, which is left empty.
    void take_all(IntrusiveList& other) noexcept {
        if (other.empty()) {
            return;
        }
        ListNode* const first = other.sentinel_.next;
        ListNode* const last = other.sentinel_.prev;
        other.reset();
        first->prev = sentinel_.prev;
        sentinel_.prev->next = first;
        last->next = &sentinel_;
        sentinel_.prev = last;
    }

    [[nodiscard]] Iterator begin() noexcept { return Iterator(sentinel_.next); }
    [[nodiscard]] Iterator end() noexcept { return Iterator(&sentinel_); }

  private:
    // The Itanium C++ ABI, which both our compilers follow, represents a pointer to a data member
    // by its offset; unlike offsetof this is valid for types that are not standard layout.
    static T* owner(ListNode* node) noexcept {
        static_assert(sizeof(Member) == sizeof(std::ptrdiff_t));
        const auto offset = std::bit_cast<std::ptrdiff_t>(Member);
        return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(node) -
                                    static_cast<std::uintptr_t>(offset));
    }

    static void insert_before(ListNode* place, ListNode* node) noexcept {
        node->prev = place->prev;
        node->next = place;
        place->prev->next = node;
        place->prev = node;
    }

    void reset() noexcept { sentinel_.prev = sentinel_.next = &sentinel_; }

    ListNode sentinel_;
};

} // namespace bucle::base
