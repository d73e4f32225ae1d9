// Handle<T>: owns one libuv handle in a heap block of its own.
//
// States: empty -> open (init) -> empty again (close), where the block lives on, owned by libuv,
// until its close callback frees it. A Handle may so die at any time, its block never too early.
// Why the block is malloc'ed and starts with the handle: whoever closes it (this class, or a loop
// that is closed with handles still on it) can free it without knowing T.
// From close() on `data` is null: a callback of a request that is cancelled by it must look.
// A loop that closes a handle behind its owner's back leaves the block to the owner.
#pragma once

#include <cstdlib>
#include <utility>

#include "uv/error.hpp"

namespace bucle::uv {

namespace detail {

// What `data` of a handle says once a dying loop has closed it: the owner may free the block, or
// the owner let go first and the close callback frees it.
inline char left_to_owner = 0;
inline char left_to_callback = 0;

inline void free_block(uv_handle_t* handle) noexcept {
    std::free(handle);
}

inline void closed_by_loop(uv_handle_t* handle) noexcept {
    if (handle->data == &left_to_callback) {
        std::free(handle);
    } else {
        handle->data = &left_to_owner;
    }
}

inline void close_block(uv_handle_t* handle) noexcept {
    if (uv_is_closing(handle) == 0) {
        handle->data = nullptr;
        uv_close(handle, &free_block);
    } else if (handle->data == &left_to_owner) {
        std::free(handle);
    } else {
        handle->data = &left_to_callback;
    }
}

// For a loop that is being closed: ends a handle that it does not own.
inline void close_left_behind(uv_handle_t* handle) noexcept {
    if (uv_is_closing(handle) == 0) {
        handle->data = nullptr;
        uv_close(handle, &closed_by_loop);
    }
}

} // namespace detail

template <class T>
class Handle {
  public:
    Handle() noexcept = default;
    ~Handle() { close(); }
    Handle(Handle&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            close();
            block_ = std::exchange(other.block_, nullptr);
        }
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    // `initialise(T*)` calls uv_<kind>_init and returns its result; `owner` is what the callbacks
    // find in `data`. An open handle is closed first.
    template <class Init>
    Status init(void* owner, Init&& initialise) noexcept {
        close();
        T* const block = static_cast<T*>(std::calloc(1, sizeof(T)));
        if (block == nullptr) {
            return Status(UV_ENOMEM);
        }
        const Status status(initialise(block));
        if (!status) {
            std::free(block);
            return status;
        }
        block->data = owner;
        block_ = block;
        return status;
    }

    // Any time after init, also when the loop is closed already; does nothing when empty.
    void close() noexcept {
        if (block_ != nullptr) {
            detail::close_block(reinterpret_cast<uv_handle_t*>(std::exchange(block_, nullptr)));
        }
    }

    // Leaves the block where it is: for a loop that can be neither run nor closed any more.
    void abandon() noexcept { block_ = nullptr; }

    [[nodiscard]] T* get() const noexcept { return block_; }
    explicit operator bool() const noexcept { return block_ != nullptr; }

    // Whether the handle keeps its loop alive.
    void ref() noexcept { uv_ref(reinterpret_cast<uv_handle_t*>(block_)); }
    void unref() noexcept { uv_unref(reinterpret_cast<uv_handle_t*>(block_)); }

  private:
    T* block_ = nullptr;
};

} // namespace bucle::uv
