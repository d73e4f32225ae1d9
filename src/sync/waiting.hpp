// Waiting: the fields that every primitive with waiters begins with.
#pragma once

#include "sync/properties.hpp"

namespace bucle::sync {

struct Waiting {
    Deque waiters;
    py::Ref loop;

    int visit(visitproc visitor, void* arg) const noexcept {
        const int stop = waiters.visit(visitor, arg);
        return stop != 0 ? stop : loop.visit(visitor, arg);
    }
    void clear() noexcept {
        waiters.clear();
        loop.reset();
    }
};

// A flag as repr() shows it; null with an AttributeError set where it is missing.
inline py::Ref describe(PyObject* self, Flag flag, const char* name, const char* on,
                        const char* off) noexcept {
    return py::Ref::steal(flag.missing() ? py::raise_no_attribute(self, name)
                                         : PyUnicode_FromString(flag.on() ? on : off));
}

} // namespace bucle::sync
