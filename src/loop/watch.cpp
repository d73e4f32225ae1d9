// Who watches which descriptor: our own transports, which claim theirs, and whoever calls
// add_reader() and add_writer(). What stands for a side, a handle or a Readiness, is queued when
// its descriptor is ready, the reader before the writer.
#include "loop/loop.hpp"

#include "core/handle.hpp"
#include "loop/readiness.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::loop {
namespace {

constexpr unsigned mask_of(Side side) noexcept {
    return side == Side::reader ? EpollSet::kReadable : EpollSet::kWritable;
}

PyObject*& slot_of(Watch& watch, Side side) noexcept {
    return side == Side::reader ? watch.reader : watch.writer;
}

unsigned mask_of(const Watch& watch) noexcept {
    return (watch.reader != nullptr ? EpollSet::kReadable : 0U) |
           (watch.writer != nullptr ? EpollSet::kWritable : 0U);
}

Watch* watch_of(LoopCore& core, int fd) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (at >= core.watches.size()) {
        if (!core.watches.extend_to(at + 16)) {
            PyErr_NoMemory();
            return nullptr;
        }
    }
    return &core.watches[at];
}

// Cancels and drops what a slot held.
void retire(PyObject* handle) noexcept {
    if (handle != nullptr) {
        if (is_readiness(handle)) {
            set_watched(handle, false);
        } else if (!core::cancel_handle(handle, *core::handle_core(handle))) {
            PyErr_WriteUnraisable(handle);
        }
        py::drop(handle);
    }
}

unsigned mask_of(const LoopCore& core, int fd) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    return at < core.watches.size() ? mask_of(core.watches[at]) : 0;
}

// A failed change has made the set forget the descriptor: what watched it is gone as well.
void forget(LoopCore& core, int fd) noexcept {
    Watch& watch = core.watches[static_cast<std::size_t>(fd)];
    const Watch gone = std::exchange(watch, Watch{nullptr, nullptr, watch.transport});
    const py::ErrorScope keep;
    retire(gone.reader);
    retire(gone.writer);
}

bool set_mask(LoopCore& core, int fd, unsigned before, unsigned after) noexcept {
    if (!open_descriptors(core)) {
        return false;
    }
    if (const int error = core.descriptors.set(fd, after); error != 0) {
        if (before != 0) {
            --core.watched;
            forget(core, fd);
        }
        return py::raise_os_error(error);
    }
    core.watched += (before == 0 ? 1U : 0U);
    core.watched -= (after == 0 ? 1U : 0U);
    return true;
}

bool queue(LoopCore& core, PyObject* handle) noexcept {
    if (handle != nullptr && is_readiness(handle)) {
        return core::push_ready(core, core::ReadyKind::readiness, py::Ref::borrow(handle));
    }
    return handle == nullptr || core::handle_core(handle)->cancelled ||
           core::push_ready(core, core::ReadyKind::handle, py::Ref::borrow(handle));
}

} // namespace

// The kernel is asked before the table is made as long as the number is large.
bool put(LoopCore& core, int fd, Side side, py::Ref watcher) noexcept {
    const unsigned before = mask_of(core, fd);
    if (!set_mask(core, fd, before, before | mask_of(side))) {
        return false;
    }
    Watch* const watch = watch_of(core, fd);
    if (watch == nullptr) { // it was not in the table, so nothing else is watched
        const py::ErrorScope keep;
        (void)set_mask(core, fd, before | mask_of(side), 0);
        return false;
    }
    retire(std::exchange(slot_of(*watch, side), watcher.release()));
    return true;
}

int take_off(LoopCore& core, int fd, Side side) noexcept {
    const unsigned before = mask_of(core, fd);
    if ((before & mask_of(side)) == 0) {
        return 0;
    }
    PyObject* const old =
        std::exchange(slot_of(core.watches[static_cast<std::size_t>(fd)], side), nullptr);
    const bool ok = set_mask(core, fd, before, before & ~mask_of(side));
    const py::ErrorScope keep;
    retire(old);
    return ok ? 1 : -1;
}

PyObject* transport_at(const LoopCore& core, int fd) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    return at < core.watches.size() ? core.watches[at].transport : nullptr;
}

bool watch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept {
    if (fd < 0) {
        return py::raise_os_error(EBADF);
    }
    if (!core::check_closed(core) || (core.forked && !renew_after_fork(core)) ||
        !put(core, fd, side, py::Ref::borrow(readiness))) {
        return false;
    }
    set_watched(readiness, true);
    return true;
}

void unwatch(LoopCore& core, int fd, Side side, PyObject* readiness) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (readiness == nullptr || fd < 0 || at >= core.watches.size() ||
        slot_of(core.watches[at], side) != readiness) {
        return;
    }
    const py::ErrorScope keep;
    if (core.forked && !renew_after_fork(core)) {
        PyErr_WriteUnraisable(core.loop);
    }
    if (take_off(core, fd, side) < 0) {
        PyErr_WriteUnraisable(core.loop);
    }
}

bool is_watched(const LoopCore& core, int fd, Side side) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    return fd >= 0 && at < core.watches.size() && (mask_of(core.watches[at]) & mask_of(side)) != 0;
}

bool claim_fd(LoopCore& core, int fd, PyObject* transport) noexcept {
    Watch* const watch = watch_of(core, fd);
    if (watch != nullptr) {
        watch->transport = transport;
    }
    return watch != nullptr;
}

void release_fd(LoopCore& core, int fd, const PyObject* transport) noexcept {
    const auto at = static_cast<std::size_t>(fd);
    if (at < core.watches.size() && core.watches[at].transport == transport) {
        core.watches[at].transport = nullptr;
    }
}

bool queue_ready_descriptors(LoopCore& core, const EpollSet::Batch& batch) noexcept {
    for (int i = 0; i != batch.count; ++i) {
        const EpollSet::Event event = core.descriptors.resolve(batch.events[i]);
        if (event.fd == EpollSet::kNested) {
            core.uv.dispatch();
            core.metrics.wakeups += core.uv.take_woken() ? 1 : 0;
            continue;
        }
        if (event.fd == core.signal_fd) {
            if (!deliver_signals()) {
                return false;
            }
            continue;
        }
        const auto at = static_cast<std::size_t>(event.fd);
        if (at >= core.watches.size()) {
            continue;
        }
        const Watch watch = core.watches[at];
        if (((event.mask & EpollSet::kReadable) != 0 && !queue(core, watch.reader)) ||
            ((event.mask & EpollSet::kWritable) != 0 && !queue(core, watch.writer))) {
            return false;
        }
    }
    return true;
}

void drop_watches(LoopCore& core) noexcept {
    base::Growable<Watch> watches;
    watches.swap(core.watches);
    core.watched = 0;
    for (const Watch& watch : watches) {
        for (PyObject* watcher : {watch.reader, watch.writer}) {
            if (watcher != nullptr && is_readiness(watcher)) {
                set_watched(watcher, false);
            }
            py::drop(watcher);
        }
    }
}

} // namespace bucle::loop
