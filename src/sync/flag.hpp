// Flag: a truth that __init__ sets, as `_locked` of a lock. An object whose __init__ never ran has
// none: asyncio's raise AttributeError then. It is one byte, so that to ask whether it is on, or
// off, is one comparison all the same.
#pragma once

#include <cstdint>

namespace bucle::sync {

class Flag {
  public:
    constexpr Flag() noexcept = default;
    Flag& operator=(bool on) noexcept {
        value_ = on ? Value::on : Value::off;
        return *this;
    }
    void remove() noexcept { value_ = Value::missing; }

    bool on() const noexcept { return value_ == Value::on; }
    bool off() const noexcept { return value_ == Value::off; }
    bool missing() const noexcept { return value_ == Value::missing; }

  private:
    enum class Value : std::uint8_t { missing, off, on };
    Value value_ = Value::missing;
};

} // namespace bucle::sync
