// Done callbacks. The first stands in the future itself, more in a vector, in order. Any call out
// (a foreign loop's call_soon, an __eq__) can change the future, so entries are moved out, or
// looked at again, around each one.
#include "core/future.hpp"
#include "core/handle.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::core {
namespace {

[[nodiscard]] bool append(FutureCore& core, py::Ref target, py::Ref context,
                          CallbackKind kind) noexcept {
    if (!core.callback && (core.extras == nullptr || core.extras->more_callbacks.empty())) {
        core.callback = std::move(target);
        core.callback_context = std::move(context);
        core.callback_kind = kind;
        return true;
    }
    FutureExtras* extras = core.need_extras();
    if (extras == nullptr) {
        return false;
    }
    if (!extras->more_callbacks.push_back({std::move(target), std::move(context), kind})) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

// The observer stays with the future until the entry runs. In debug mode a Handle is shown.
[[nodiscard]] bool schedule_notice(PyObject* self, FutureCore& core, py::Ref observer) noexcept {
    Scheduler* const scheduler = scheduler_of(core.loop.get());
    if (scheduler == nullptr || scheduler->gate != 0) {
        return call_soon(core.loop.get(), observer.get(), self, nullptr);
    }
    return append(core, std::move(observer), {}, CallbackKind::observer) &&
           push_ready(*scheduler, ReadyKind::notice, py::Ref::borrow(self));
}

[[nodiscard]] bool schedule_one(PyObject* self, FutureCore& core, Callback callback) noexcept {
    switch (callback.kind) {
    case CallbackKind::waiter:
        return schedule_task_wakeup(callback.target.get(), self);
    case CallbackKind::observer:
        return schedule_notice(self, core, std::move(callback.target));
    case CallbackKind::function:
        break;
    }
    return call_soon(core.loop.get(), callback.target.get(), self, callback.context.get());
}

// `function` equals the entry: by == for functions; a waiting task answers to its task_wakeup.
int matches(const Callback& entry, PyObject* function) noexcept {
    if (entry.kind == CallbackKind::waiter) {
        return is_wakeup_of(function, entry.target.get()) ? 1 : 0;
    }
    return PyObject_RichCompareBool(entry.target.get(), function, Py_EQ);
}

Callback copy_of(const Callback& entry) noexcept {
    return {entry.target.clone(), entry.context.clone(), entry.kind};
}

py::Ref shown(const Callback& entry) noexcept {
    py::Ref target =
        entry.kind == CallbackKind::waiter ? make_wakeup(entry.target.get()) : entry.target.clone();
    py::Ref context = entry.context ? entry.context.clone() : py::Ref::steal(PyContext_New());
    return target && context ? py::Ref::steal(PyTuple_Pack(2, target.get(), context.get()))
                             : py::Ref();
}

} // namespace

bool add_done_callback(PyObject* self, FutureCore& core, PyObject* function,
                       PyObject* context) noexcept {
    if (!core.pending()) {
        return call_soon(core.loop.get(), function, self, context);
    }
    return append(core, py::Ref::borrow(function), py::Ref::borrow(context),
                  CallbackKind::function);
}

bool add_waiter(FutureCore& core, PyObject* task) noexcept {
    return append(core, py::Ref::borrow(task), {}, CallbackKind::waiter);
}

bool add_observer(FutureCore& core, PyObject* observer) noexcept {
    return append(core, py::Ref::borrow(observer), {}, CallbackKind::observer);
}

bool schedule_callbacks(PyObject* self, FutureCore& core) noexcept {
    if (!core.callback) {
        return true;
    }
    Callback first = {std::move(core.callback), std::move(core.callback_context),
                      core.callback_kind};
    base::Growable<Callback> more;
    if (core.extras != nullptr) {
        more.swap(core.extras->more_callbacks);
    }
    if (!schedule_one(self, core, std::move(first))) {
        return false;
    }
    for (Callback& callback : more) {
        if (!schedule_one(self, core, std::move(callback))) {
            return false;
        }
    }
    return true;
}

Py_ssize_t remove_done_callback(FutureCore& core, PyObject* function) noexcept {
    if (!core.pending()) {
        return 0;
    }
    Py_ssize_t removed = 0;
    if (core.callback) {
        const Callback first = {core.callback.clone(), core.callback_context.clone(),
                                core.callback_kind};
        const int equal = matches(first, function);
        if (equal < 0) {
            return -1;
        }
        if (equal > 0) {
            ++removed;
            core.callback.reset();
            core.callback_context.reset();
        }
    }
    std::size_t at = 0;
    while (core.extras != nullptr && at < core.extras->more_callbacks.size()) {
        const Callback entry = copy_of(core.extras->more_callbacks[at]);
        const int equal = matches(entry, function);
        if (equal < 0) {
            return -1;
        }
        if (core.extras == nullptr || at >= core.extras->more_callbacks.size()) {
            break; // the comparison changed the list
        }
        auto& list = core.extras->more_callbacks;
        if (equal > 0 && list[at].target.get() == entry.target.get()) {
            ++removed;
            list.erase(at);
        } else {
            ++at;
        }
    }
    // The first place is filled again, so that "no first" means "none".
    if (!core.callback && core.extras != nullptr && !core.extras->more_callbacks.empty()) {
        auto& list = core.extras->more_callbacks;
        core.callback = std::move(list[0].target);
        core.callback_context = std::move(list[0].context);
        core.callback_kind = list[0].kind;
        list.erase(0);
    }
    return removed;
}

py::Ref callbacks_list(FutureCore& core) noexcept {
    if (!core.callback || !core.pending()) {
        return py::none();
    }
    py::Ref list = py::Ref::steal(PyList_New(0));
    const Callback first = {core.callback.clone(), core.callback_context.clone(),
                            core.callback_kind};
    py::Ref item = list ? shown(first) : py::Ref();
    if (!item || PyList_Append(list.get(), item.get()) < 0) {
        return {};
    }
    for (std::size_t at = 0; core.extras != nullptr && at < core.extras->more_callbacks.size();
         ++at) {
        const Callback entry = copy_of(core.extras->more_callbacks[at]);
        item = shown(entry);
        if (!item || PyList_Append(list.get(), item.get()) < 0) {
            return {};
        }
    }
    return list;
}

} // namespace bucle::core
