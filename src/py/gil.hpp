// The GIL is held everywhere except inside a ReleaseGil scope, which stands around the poll only.
#pragma once

#include "py/python.hpp"

namespace bucle::py {

class ReleaseGil {
  public:
    ReleaseGil() noexcept : saved_(PyEval_SaveThread()) {}
    ReleaseGil(const ReleaseGil&) = delete;
    ReleaseGil& operator=(const ReleaseGil&) = delete;
    ~ReleaseGil() { PyEval_RestoreThread(saved_); }

  private:
    PyThreadState* saved_;
};

} // namespace bucle::py
