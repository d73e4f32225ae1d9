// CPython 3.14+ publishes the offsets of asyncio's task fields for debuggers in an ELF section
// named .AsyncioDebug of the binary that holds _asyncio. The symbol is not exported, so the section
// is read from the file, once, at import.
#pragma once

#include <cstdint>

namespace bucle::py {

struct AsyncioDebugOffsets {
    struct {
        std::uint64_t size, name, awaited_by, is_task, awaited_by_is_set, coro, node;
    } task;
    struct {
        std::uint64_t size, tasks_head;
    } interpreter;
    struct {
        std::uint64_t size, running_loop, running_task, tasks_head;
    } thread;
};

// False when the file has no such section or is no 64-bit ELF file.
[[nodiscard]] bool read_asyncio_debug_offsets(const char* path, AsyncioDebugOffsets* out) noexcept;

} // namespace bucle::py
