// EpollSet: what the loop waits on: readiness of all its descriptors, and libuv's epoll set in it.
//
// Why not libuv: it aborts the process when a descriptor that it watches turns bad or is closed
// and reused, which any user's code can do. Here that is an errno for the caller. Why libuv's set
// stands in this one, not this one in libuv's: what is ready is known by one system call then.
// Invariant: slots_[fd] holds the mask last asked for, 0 for none, and the generation of its
// registration, which every event carries: an event of a file that was closed while a duplicate
// keeps it alive is told from the present file's by it. Level triggered. One thread at a time, but
// for wait().
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>

namespace bucle::loop {

class EpollSet {
  public:
    static constexpr unsigned kReadable = 1;
    static constexpr unsigned kWritable = 2;

    static constexpr int kNested = -1;

    struct Event {
        int fd;        // or kNested
        unsigned mask; // a subset of what was asked for; 0: not of a registration that we know
    };

    // What the kernel answered, not looked at yet.
    struct Batch {
        static constexpr int kMost = 256;
        epoll_event events[kMost];
        int count = 0;
    };

    EpollSet() noexcept = default;
    ~EpollSet() { close(); }
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;

    // Results are 0 or an errno. Opening what is open does nothing.
    [[nodiscard]] int open() noexcept;
    // A new epoll set at the same descriptor, with all registrations but those of descriptors that
    // were closed or reused: when needs_reopen(), and in a forked child, which shares the old one
    // with its parent. There set() does it by itself, and the nested set is left out: it is nested
    // anew when the child has one of its own. After a failure the old set is still there.
    [[nodiscard]] int reopen() noexcept;
    void close() noexcept;

    // Watches `fd` for `mask`, 0 ends it. Ending always succeeds, also for a descriptor closed or
    // reused by others; otherwise EBADF (closed), EPERM (regular file), ENOMEM, ENOSPC, with
    // which the descriptor is no longer watched.
    [[nodiscard]] int set(int fd, unsigned mask) noexcept;
    [[nodiscard]] unsigned mask(int fd) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return watched_; }

    // Watches another epoll set, in place of the one before. 0 or an errno.
    [[nodiscard]] int nest(int epoll_fd) noexcept;
    [[nodiscard]] bool has_nested() const noexcept { return nested_ >= 0; }

    // Blocks until something is ready, at most so long; negative: without an end. Touches nothing
    // but the batch, so that others may change the set meanwhile. The rest of a crowd comes with
    // the next call. 0 or an errno; a signal ends it with an empty batch.
    [[nodiscard]] int wait(Batch& batch, int timeout_ms) const noexcept;
    // Of a batch that was waited for, as long as the set was not reopened since.
    [[nodiscard]] Event resolve(const epoll_event& event) noexcept;

    // Events come of a file that cannot be named any more, since its descriptor was closed while
    // a duplicate is open: they would keep every poll from blocking until reopen().
    [[nodiscard]] bool needs_reopen() const noexcept { return stale_; }

    // -1 when closed.
    [[nodiscard]] int fd() const noexcept { return epoll_fd_; }
    [[nodiscard]] bool is_open() const noexcept { return epoll_fd_ >= 0; }

  private:
    struct Slot {
        std::uint32_t generation;
        std::uint32_t mask;
    };

    int add(int fd, unsigned mask) noexcept;
    int change(int fd, unsigned mask) noexcept;
    void forget(int fd) noexcept;
    bool still_registered(int fd) noexcept;
    [[nodiscard]] Slot* slot(int fd) const noexcept;
    [[nodiscard]] bool make_slot(int fd) noexcept;

    int epoll_fd_ = -1;
    int nested_ = -1;
    unsigned forks_ = 0; // base::fork_count() of the process that made the epoll descriptor
    bool stale_ = false;
    Slot* slots_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t watched_ = 0;
};

} // namespace bucle::loop
