// The GIL is held everywhere except inside a ReleaseGil scope: around the poll, a large system call
// on a socket, and the wait for a callback that another thread runs.
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
