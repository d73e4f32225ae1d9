// EpollSet: readiness of descriptors that we do not own (add_reader, add_writer, sock_*).
//
// Why not libuv: it aborts the process when a descriptor that it watches turns bad or is closed
// and reused, which any user's code can do. Here that is an errno for the caller, and libuv
// watches only the descriptor of this set, through one poll handle.
// Invariant: slots_[fd] holds the mask last asked for, 0 for none, and the generation of its
// registration, which every event carries: an event of a file that was closed while a duplicate
// keeps it alive is told from the present file's by it. Level triggered. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bucle::loop {

class EpollSet {
  public:
    static constexpr unsigned kReadable = 1;
    static constexpr unsigned kWritable = 2;

    struct Event {
        int fd;
        unsigned mask; // never 0, a subset of what was asked for
    };

    EpollSet() noexcept = default;
    ~EpollSet() { close(); }
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;

    // Results are 0 or an errno. Opening what is open does nothing.
    [[nodiscard]] int open() noexcept;
    // A new epoll set at the same descriptor, with all registrations but those of descriptors that
    // were closed or reused: when needs_reopen(), and in a forked child, which shares the old one
    // with its parent. There set() does it by itself. A libuv loop that watches fd() watches it
    // anew afterwards, or is forked after it. After a failure the old set is still there.
    [[nodiscard]] int reopen() noexcept;
    void close() noexcept;

    // Watches `fd` for `mask`, 0 ends it. Ending always succeeds, also for a descriptor closed or
    // reused by others; otherwise EBADF (closed), EPERM (regular file), ENOMEM, ENOSPC, with
    // which the descriptor is no longer watched.
    [[nodiscard]] int set(int fd, unsigned mask) noexcept;
    [[nodiscard]] unsigned mask(int fd) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return watched_; }

    // What is ready now, at most `max` (which is at least 1); does not block. The rest of a crowd
    // comes with the next call.
    int collect(Event* out, int max) noexcept;

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

    int control(int epoll_fd, int operation, int fd, unsigned mask,
                std::uint32_t generation) noexcept;
    int add(int fd, unsigned mask) noexcept;
    int change(int fd, unsigned mask) noexcept;
    void forget(int fd) noexcept;
    bool still_registered(int fd) noexcept;
    [[nodiscard]] Slot* slot(int fd) const noexcept;
    [[nodiscard]] bool make_slot(int fd) noexcept;

    int epoll_fd_ = -1;
    unsigned forks_ = 0; // base::fork_count() of the process that made the epoll descriptor
    bool stale_ = false;
    Slot* slots_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t watched_ = 0;
};

} // namespace bucle::loop
