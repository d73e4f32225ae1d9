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

// For libuv's and fork's callbacks that may come without a thread state.
class EnsureGil {
  public:
    EnsureGil() noexcept : saved_(PyGILState_Ensure()) {}
    EnsureGil(const EnsureGil&) = delete;
    EnsureGil& operator=(const EnsureGil&) = delete;
    ~EnsureGil() { PyGILState_Release(saved_); }

  private:
    PyGILState_STATE saved_;
};

} // namespace bucle::py
