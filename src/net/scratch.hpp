// What a transport reads into: the loop's one scratch buffer, from which the bytes of the exact
// size are copied once. An allocation per read above malloc's mmap threshold, for a small message,
// is what costs asyncio most of its throughput.
#pragma once

#include "loop/loop.hpp"

namespace bucle::net {

inline constexpr std::size_t kReadAtOnce = std::size_t{64} * 1024; // fits the second-level cache

// At least `size` bytes, until any Python runs; null with MemoryError set.
inline char* scratch(loop::LoopCore& core, std::size_t size = kReadAtOnce) noexcept {
    char* const memory = core.scratch.reserve(size);
    if (memory == nullptr) {
        PyErr_NoMemory();
    }
    return memory;
}

} // namespace bucle::net
