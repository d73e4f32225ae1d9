// fork_count(): how many forks lie between the process that loaded us and this one.
//
// What holds descriptors that a child shares with its parent (an epoll set) remembers the number
// at their making; another number later says that this is a child, which must not change them.
// Why not getpid(): that is a system call, this is a load. vfork and posix_spawn are not counted:
// their children run none of our code.
#pragma once

#include <pthread.h>

#include <atomic>

namespace bucle::base {

namespace detail {

inline std::atomic<unsigned> forks = 0;
// Registered when the library is loaded; unregistered by the C library if it is ever unloaded.
inline const int counting_forks =
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

} // namespace detail

[[nodiscard]] inline unsigned fork_count() noexcept {
    return detail::forks.load(std::memory_order_relaxed);
}

} // namespace bucle::base
