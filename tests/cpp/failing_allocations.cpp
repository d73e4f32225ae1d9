// The wrapped allocation functions; see failing_allocations.hpp.
//
// The names are the linker's: with --wrap=malloc a call of malloc becomes one of __wrap_malloc,
// and __real_malloc is the real one.
#include "failing_allocations.hpp"

#include <cstddef>

namespace {

thread_local bool failing = false;
thread_local int still_allowed = 0;

bool refuse() noexcept {
    if (!failing) {
        return false;
    }
    return still_allowed-- <= 0;
}

} // namespace

extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void* __real_realloc(void* block, std::size_t size);

void* __wrap_malloc(std::size_t size);
void* __wrap_calloc(std::size_t count, std::size_t size);
void* __wrap_realloc(void* block, std::size_t size);

void* __wrap_malloc(std::size_t size) {
    return refuse() ? nullptr : __real_malloc(size);
}

void* __wrap_calloc(std::size_t count, std::size_t size) {
    return refuse() ? nullptr : __real_calloc(count, size);
}

void* __wrap_realloc(void* block, std::size_t size) {
    return refuse() ? nullptr : __real_realloc(block, size);
}
}

namespace bucle::test {

FailingAllocations::FailingAllocations(int allowed) noexcept {
    failing = true;
    still_allowed = allowed;
}

FailingAllocations::~FailingAllocations() {
    failing = false;
}

} // namespace bucle::test
