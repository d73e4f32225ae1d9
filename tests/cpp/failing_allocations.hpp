// FailingAllocations: while one lives, malloc, calloc and realloc called by the code under test
// fail in this thread, after `allowed` more that succeed.
//
// Works by the linker's --wrap: only object files of the test program are affected, so libuv, the
// C++ library and doctest's own operator new go on.
#pragma once

namespace bucle::test {

class FailingAllocations {
  public:
    explicit FailingAllocations(int allowed = 0) noexcept;
    ~FailingAllocations();
    FailingAllocations(const FailingAllocations&) = delete;
    FailingAllocations& operator=(const FailingAllocations&) = delete;
};

} // namespace bucle::test
