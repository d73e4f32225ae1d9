// See queue_finished.hpp.
#include "sync/queue_finished.hpp"

#include "core/awaiting.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "sync/waiter.hpp"

namespace bucle::sync {

bool Finished::set() noexcept {
    if (event_) {
        return static_cast<bool>(py::call_method(event_.clone().get(), py::names().set));
    }
    if (is_set_) {
        return true;
    }
    is_set_ = true;
    // Who waits takes itself out when it runs.
    for (Py_ssize_t i = 0; waiters_.native() && i < waiters_.size(); ++i) {
        const py::Ref waiter = waiters_.at(i);
        const int done = core::is_done(waiter.get());
        if (done < 0 || (done == 0 && !core::set_result_of(waiter.get(), Py_True))) {
            return false;
        }
    }
    return true;
}

bool Finished::clear_event() noexcept {
    return static_cast<bool>(py::call_method(event_.clone().get(), py::names().clear));
}

core::Step Finished::wait(core::Coroutine& co, std::uint8_t native_stage, std::uint8_t event_stage,
                          py::Ref& result) noexcept {
    if (!event_) {
        if (is_set_) {
            return core::finish_with_none(result);
        }
        const py::Ref running = py::abi::running_loop();
        if (!running && PyErr_Occurred() != nullptr) {
            return core::Step::fail;
        }
        // The object has the words for a wrong loop.
        if (loop_ && loop_.get() != running.get() && !as_python()) {
            return core::Step::fail;
        }
    }
    if (event_) {
        const py::Ref waited = py::call_method(event_.clone().get(), py::names().wait);
        return co.wait(waited ? core::awaitable_of(waited.get()) : py::Ref(), event_stage);
    }
    py::Ref waiter = make_waiter(co.arguments[0].get(), loop_);
    if (!waiter || !waiters_.push_back(waiter.get())) {
        return core::Step::fail;
    }
    co.kept = waiter.clone();
    return co.wait(std::move(waiter), native_stage);
}

void Finished::leave(PyObject* waiter) noexcept {
    if (!event_) {
        (void)waiters_.remove(waiter);
    } else if (const py::Ref others = py::get_attr(event_.clone().get(), py::names()._waiters)) {
        (void)py::call_method(others.get(), py::names().remove, waiter);
    }
    PyErr_Clear(); // not there: somebody put another event in place
}

namespace {

py::Ref make_event() noexcept {
    if (PyTypeObject* const native = py::state().event_type) {
        return py::call(reinterpret_cast<PyObject*>(native));
    }
    const py::Ref locks = py::Ref::steal(PyImport_ImportModule("asyncio.locks"));
    const py::Ref type =
        locks ? py::Ref::steal(PyObject_GetAttrString(locks.get(), "Event")) : py::Ref();
    return type ? py::call(type.get()) : py::Ref();
}

} // namespace

py::Ref Finished::as_python() noexcept {
    if (event_) {
        return event_.clone();
    }
    const py::Names& names = py::names();
    py::Ref made = make_event();
    if (!made || (is_set_ && !py::call_method(made.get(), names.set)) ||
        (loop_ && PyObject_SetAttr(made.get(), names._loop, loop_.get()) < 0)) {
        return {};
    }
    const py::Ref others = py::get_attr(made.get(), names._waiters);
    const Py_ssize_t count = others ? waiters_.size() : -1;
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!py::call_method(others.get(), names.append, waiters_.at(i).get())) {
            return {};
        }
    }
    if (count < 0) {
        return {};
    }
    event_ = std::move(made);
    waiters_.clear();
    return event_.clone();
}

void Finished::replace(PyObject* event) noexcept {
    is_set_ = true;
    loop_.reset();
    event_ = py::Ref::borrow(event);
    waiters_.clear();
}

int Finished::visit(visitproc visitor, void* arg) const noexcept {
    if (const int stop = waiters_.visit(visitor, arg); stop != 0) {
        return stop;
    }
    const int stop = loop_.visit(visitor, arg);
    return stop != 0 ? stop : event_.visit(visitor, arg);
}

void Finished::forget() noexcept {
    replace(nullptr);
}

} // namespace bucle::sync
