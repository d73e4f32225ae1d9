// Scratch: one block of memory for what is read, before its size is known. It is made on first use
// and grows to what was asked for last.
//
// Invariant: what stands in it is valid until somebody else may read, so it is copied out before
// any Python runs. Large and untouched is cheap: pages that were never written take no memory.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace bucle::base {

class Scratch {
  public:
    Scratch() noexcept = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::free(memory_); }

    // At least so many bytes; null: there is no memory. What stood there is lost when it grows.
    [[nodiscard]] char* reserve(std::size_t size) noexcept {
        if (size > size_) {
            void* const memory = std::malloc(size);
            if (memory == nullptr) {
                return nullptr;
            }
            std::free(memory_);
            memory_ = memory;
            size_ = size;
        }
        return static_cast<char*>(memory_);
    }

  private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace bucle::base
