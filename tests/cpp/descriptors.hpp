// Descriptors for tests: pipes and socket pairs that close themselves, the number of open ones,
// and a child process that answers by its exit code.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace bucle::test {

// Two connected descriptors; [0] reads what is written to [1].
class Pair {
  public:
    static Pair pipe() {
        Pair made;
        if (::pipe2(made.fds_, O_CLOEXEC | O_NONBLOCK) != 0) {
            made.fds_[0] = made.fds_[1] = -1;
        }
        return made;
    }
    static Pair sockets() {
        Pair made;
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, made.fds_) != 0) {
            made.fds_[0] = made.fds_[1] = -1;
        }
        return made;
    }
    ~Pair() {
        close(0);
        close(1);
    }
    Pair(Pair&& other) noexcept
        : fds_{std::exchange(other.fds_[0], -1), std::exchange(other.fds_[1], -1)} {}
    Pair& operator=(Pair&& other) noexcept {
        std::swap(fds_[0], other.fds_[0]);
        std::swap(fds_[1], other.fds_[1]);
        return *this;
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    int operator[](int end) const { return fds_[end]; }
    bool write(const char* byte = "x") const { return ::write(fds_[1], byte, 1) == 1; }
    bool read() const {
        char byte = 0;
        return ::read(fds_[0], &byte, 1) == 1;
    }
    void close(int end) {
        if (fds_[end] >= 0) {
            ::close(std::exchange(fds_[end], -1));
        }
    }
    // The descriptor was closed by other means.
    void lost(int end) { fds_[end] = -1; }

  private:
    Pair() = default;
    int fds_[2] = {-1, -1};
};

inline bool is_readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

inline int open_descriptors() {
    DIR* const folder = opendir("/proc/self/fd");
    if (folder == nullptr) {
        return -1;
    }
    int count = -3; // the folder itself, and the entries for it and its parent
    while (readdir(folder) != nullptr) {
        ++count;
    }
    closedir(folder);
    return count;
}

// Runs `body` in a forked child; its result is the exit code, 255 when it was killed.
template <class F>
int in_child(F&& body) {
    std::fflush(nullptr); // else what doctest has not written yet comes from both
    const pid_t child = ::fork();
    if (child == 0) {
        alarm(60); // not inherited; a child that hangs is a failure, not a standstill
        _exit(body());
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return 255;
    }
    return WEXITSTATUS(status);
}

} // namespace bucle::test
