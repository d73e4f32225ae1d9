// The epoll calls behind EpollSet, and what is done when the kernel's idea of a descriptor differs
// from ours.
//
// epoll keys a registration by descriptor and open file, and drops it with the file's last
// descriptor. So a descriptor closed behind our back answers EBADF; closed and reused it answers
// ENOENT to a change, which then is an addition; and one that was closed while a duplicate lives
// cannot be taken out at all, which is what generations and reopen() are for.
#include "loop/epoll_set.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/fork_count.hpp"

namespace bucle::loop {

namespace {

// No registration's: its descriptor would be negative.
constexpr std::uint64_t kNestedTag = UINT64_MAX;

std::uint32_t interest(unsigned mask) noexcept {
    std::uint32_t events = 0;
    if ((mask & EpollSet::kReadable) != 0) {
        events |= EPOLLIN;
    }
    if ((mask & EpollSet::kWritable) != 0) {
        events |= EPOLLOUT;
    }
    return events;
}

// As in asyncio's selector: an error or a hang-up is both.
unsigned readiness(std::uint32_t events) noexcept {
    unsigned mask = 0;
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) {
        mask |= EpollSet::kReadable;
    }
    if ((events & ~static_cast<std::uint32_t>(EPOLLIN)) != 0) {
        mask |= EpollSet::kWritable;
    }
    return mask;
}

// What the events of a registration carry.
std::uint64_t tag_of(int fd, std::uint32_t generation) noexcept {
    return static_cast<std::uint64_t>(generation) << 32U | static_cast<std::uint32_t>(fd);
}

// 0 or an errno.
int control(int epoll_fd, int operation, int fd, unsigned mask, std::uint64_t tag) noexcept {
    epoll_event event{};
    event.events = interest(mask);
    event.data.u64 = tag;
    return epoll_ctl(epoll_fd, operation, fd, &event) == 0 ? 0 : errno;
}

int add_nested(int epoll_fd, int nested) noexcept {
    return control(epoll_fd, EPOLL_CTL_ADD, nested, EpollSet::kReadable, kNestedTag);
}

} // namespace

int EpollSet::open() noexcept {
    if (epoll_fd_ >= 0) {
        return 0;
    }
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    forks_ = base::fork_count();
    return epoll_fd_ < 0 ? errno : 0;
}

int EpollSet::reopen() noexcept {
    const int fresh = epoll_create1(EPOLL_CLOEXEC);
    if (fresh < 0) {
        return errno;
    }
    const bool in_child = forks_ != base::fork_count();
    for (std::size_t i = 0; i != capacity_; ++i) {
        const Slot& known = slots_[i];
        const int fd = static_cast<int>(i);
        if (known.mask == 0) {
            continue;
        }
        // In a child the old set is the parent's too, which may have changed it since the fork.
        const bool ours = in_child || still_registered(fd);
        if (!ours ||
            control(fresh, EPOLL_CTL_ADD, fd, known.mask, tag_of(fd, known.generation)) != 0) {
            forget(fd);
        }
    }
    if (in_child || (nested_ >= 0 && add_nested(fresh, nested_) != 0)) {
        nested_ = -1;
    }
    if (epoll_fd_ < 0) {
        epoll_fd_ = fresh;
    } else {
        // Closes the old one; only a system call that was interrupted half-way could fail here.
        static_cast<void>(dup3(fresh, epoll_fd_, O_CLOEXEC));
        ::close(fresh);
    }
    forks_ = base::fork_count();
    stale_ = false;
    return 0;
}

// Whether the descriptor is still the file that was registered, not another one that reuses its
// number: an addition is refused then. One that is not refused is taken back.
bool EpollSet::still_registered(int fd) noexcept {
    const int error = control(epoll_fd_, EPOLL_CTL_ADD, fd, 0, 0);
    if (error == 0) {
        static_cast<void>(control(epoll_fd_, EPOLL_CTL_DEL, fd, 0, 0));
    }
    return error == EEXIST;
}

void EpollSet::close() noexcept {
    if (epoll_fd_ >= 0) {
        ::close(epoll_fd_);
        epoll_fd_ = -1;
    }
    std::free(slots_);
    slots_ = nullptr;
    capacity_ = watched_ = 0;
    nested_ = -1;
    stale_ = false;
}

int EpollSet::set(int fd, unsigned mask) noexcept {
    if (fd < 0 || epoll_fd_ < 0) {
        return EBADF;
    }
    if (forks_ != base::fork_count()) [[unlikely]] {
        // The kernel's set is still the parent's, which must not notice.
        if (const int error = reopen(); error != 0) {
            return error;
        }
    }
    mask &= kReadable | kWritable;
    const bool known = this->mask(fd) != 0;
    if (mask == 0) {
        if (known) {
            // EBADF and ENOENT: the kernel forgot it before us.
            static_cast<void>(control(epoll_fd_, EPOLL_CTL_DEL, fd, 0, 0));
            forget(fd);
        }
        return 0;
    }
    int error = known ? change(fd, mask) : add(fd, mask);
    if (known && error == ENOENT) {
        forget(fd);
        error = add(fd, mask);
    }
    if (error != 0) {
        forget(fd);
    }
    return error;
}

unsigned EpollSet::mask(int fd) const noexcept {
    const Slot* const known = slot(fd);
    return known != nullptr ? known->mask : 0;
}

int EpollSet::nest(int epoll_fd) noexcept {
    if (nested_ >= 0) {
        static_cast<void>(control(epoll_fd_, EPOLL_CTL_DEL, nested_, 0, 0));
    }
    const int error = add_nested(epoll_fd_, epoll_fd);
    nested_ = error == 0 ? epoll_fd : -1;
    return error;
}

int EpollSet::wait(Batch& batch, int timeout_ms) const noexcept {
    batch.count = epoll_wait(epoll_fd_, batch.events, Batch::kMost, timeout_ms);
    if (batch.count >= 0) [[likely]] {
        return 0;
    }
    batch.count = 0;
    return errno == EINTR ? 0 : errno;
}

EpollSet::Event EpollSet::resolve(const epoll_event& event) noexcept {
    const std::uint64_t tag = event.data.u64;
    if (tag == kNestedTag) {
        return Event{kNested, kReadable};
    }
    const int fd = static_cast<int>(tag & 0xffff'ffffU);
    const Slot* const known = slot(fd);
    if (known == nullptr || known->mask == 0 || known->generation != tag >> 32U) {
        stale_ = true;
        return Event{fd, 0};
    }
    return Event{fd, readiness(event.events) & known->mask};
}

int EpollSet::add(int fd, unsigned mask) noexcept {
    // The kernel is asked first: a table as long as a nonsensical descriptor is large is not made.
    const Slot* const before = slot(fd);
    const std::uint32_t generation = before != nullptr ? before->generation + 1 : 1;
    int error = control(epoll_fd_, EPOLL_CTL_ADD, fd, mask, tag_of(fd, generation));
    if (error == EEXIST) {
        error = control(epoll_fd_, EPOLL_CTL_MOD, fd, mask, tag_of(fd, generation));
    }
    if (error != 0) {
        return error;
    }
    if (!make_slot(fd)) {
        static_cast<void>(control(epoll_fd_, EPOLL_CTL_DEL, fd, 0, 0));
        return ENOMEM;
    }
    Slot* const known = slot(fd);
    known->generation = generation;
    known->mask = mask;
    ++watched_;
    return 0;
}

// Asked of the kernel even when the mask stays: only so a reused descriptor is noticed.
int EpollSet::change(int fd, unsigned mask) noexcept {
    Slot* const known = slot(fd);
    const int error = control(epoll_fd_, EPOLL_CTL_MOD, fd, mask, tag_of(fd, known->generation));
    if (error == 0) {
        known->mask = mask;
    }
    return error;
}

void EpollSet::forget(int fd) noexcept {
    Slot* const known = slot(fd);
    if (known != nullptr && known->mask != 0) {
        known->mask = 0;
        --watched_;
    }
}

EpollSet::Slot* EpollSet::slot(int fd) const noexcept {
    const auto index = static_cast<std::size_t>(fd);
    return slots_ != nullptr && fd >= 0 && index < capacity_ ? slots_ + index : nullptr;
}

bool EpollSet::make_slot(int fd) noexcept {
    const auto index = static_cast<std::size_t>(fd);
    if (index < capacity_) {
        return true;
    }
    std::size_t capacity = capacity_ != 0 ? capacity_ : 64;
    while (capacity <= index) {
        capacity *= 2;
    }
    auto* const slots = static_cast<Slot*>(std::realloc(slots_, capacity * sizeof(Slot)));
    if (slots == nullptr) {
        return false;
    }
    std::memset(slots + capacity_, 0, (capacity - capacity_) * sizeof(Slot));
    slots_ = slots;
    capacity_ = capacity;
    return true;
}

} // namespace bucle::loop
