// The Python frames that lead to the running code.
#pragma once

#include "py/ref.hpp"

namespace bucle::py {

// The innermost `depth` of them as a coroutine's cr_origin has them: (file name, line, function)
// each. Null with an error set.
Ref where_called(int depth) noexcept;

} // namespace bucle::py
