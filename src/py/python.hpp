// The one place that includes Python.h. Every room above gets CPython through this header, so that
// the required macro stands before it and a free-threaded interpreter is refused in one sentence.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "bucle needs an interpreter with the GIL: free-threaded builds are not supported yet"
#endif

#include <cstddef>
#include <cstdint>
