// What Python sees of a queue beside its methods: repr, the private attributes (each of which can
// be assigned, for subclasses do).
#include "sync/queue.hpp"

#include "py/call.hpp"
#include "sync/properties.hpp"

#include <iterator>

namespace bucle::sync {
namespace {

// list(self._queue), without making the native items a deque; null without an error where there is
// nothing to show.
py::Ref list_items(PyObject* self) noexcept {
    const Queue& queue = queue_of(self);
    const int empty = queue.has_items ? queue.items.empty() : 1;
    if (empty != 0) {
        return {};
    }
    if (!queue.items.native()) {
        const py::Ref content = queue_of(self).items.as_python();
        return content ? py::Ref::steal(PySequence_List(content.get())) : py::Ref();
    }
    py::Ref list = py::Ref::steal(PyList_New(0));
    for (Py_ssize_t i = 0; list && i < queue.items.size(); ++i) {
        if (PyList_Append(list.get(), queue.items.at(i).get()) < 0) {
            return {};
        }
    }
    return list;
}

// text += more; `more` null: an error is set.
bool append(py::Ref& text, PyObject* more) noexcept {
    const py::Ref tail = py::Ref::steal(more);
    text = tail && text ? py::Ref::steal(PyUnicode_Concat(text.get(), tail.get())) : py::Ref();
    return static_cast<bool>(text);
}

bool append_count(py::Ref& text, const char* format, Py_ssize_t count) noexcept {
    return count == 0 || (count > 0 && append(text, PyUnicode_FromFormat(format, count)));
}

PyObject* get_maxsize(PyObject* self, void*) noexcept {
    const Queue& queue = queue_of(self);
    return queue.maxsize ? py::new_ref(queue.maxsize.get())
                         : py::raise_no_attribute(self, "_maxsize");
}

py::Ref describe(PyObject* self) noexcept {
    Queue& queue = queue_of(self);
    const py::Ref maxsize = py::Ref::steal(get_maxsize(self, nullptr));
    py::Ref text =
        maxsize ? py::Ref::steal(PyUnicode_FromFormat("maxsize=%R", maxsize.get())) : py::Ref();
    const py::Ref items = text ? list_items(self) : py::Ref();
    if (!text || (!items && PyErr_Occurred() != nullptr) ||
        (items && !append(text, PyUnicode_FromFormat(" _queue=%R", items.get()))) ||
        !append_count(text, " _getters[%zd]", queue.getters.size()) ||
        !append_count(text, " _putters[%zd]", queue.putters.size()) ||
        !append_count(text, " tasks=%zd", queue.unfinished) ||
        (queue.is_shutdown && !append(text, PyUnicode_FromString(" shutdown")))) {
        return {};
    }
    return text;
}

py::Ref format_by_name(PyObject* self) noexcept {
    return exact_kind(self) == Kind::by_name ? py::call_method(self, py::names()._format)
                                             : describe(self);
}

} // namespace

PyObject* format_queue(py::Function&, PyObject* const* args) noexcept {
    return describe(args[0]).release();
}

PyObject* queue_repr(py::Function&, PyObject* const* args) noexcept {
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(args[0])));
    const py::Ref format = name ? format_by_name(args[0]) : py::Ref();
    return format ? PyUnicode_FromFormat("<%U at %p %S>", name.get(), args[0], format.get())
                  : nullptr;
}

PyObject* queue_str(py::Function&, PyObject* const* args) noexcept {
    const py::Ref name = py::Ref::steal(PyType_GetName(Py_TYPE(args[0])));
    const py::Ref format = name ? format_by_name(args[0]) : py::Ref();
    return format ? PyUnicode_FromFormat("<%U %S>", name.get(), format.get()) : nullptr;
}

namespace {

int set_maxsize_attribute(PyObject* self, PyObject* value, void*) noexcept {
    if (value == nullptr) {
        queue_of(self).maxsize.reset();
        queue_of(self).limit = Queue::kAskObject;
    } else {
        set_maxsize(queue_of(self), value);
    }
    return 0;
}

PyObject* get_items(PyObject* self, void*) noexcept {
    Queue& queue = queue_of(self);
    return queue.has_items ? queue.items.as_python().release()
                           : py::raise_no_attribute(self, "_queue");
}

int set_items(PyObject* self, PyObject* value, void*) noexcept {
    Queue& queue = queue_of(self);
    queue.has_items = value != nullptr;
    queue.items.replace(value);
    return 0;
}

PyObject* get_unfinished(PyObject* self, void*) noexcept {
    return PyLong_FromSsize_t(queue_of(self).unfinished);
}

int set_unfinished(PyObject* self, PyObject* value, void*) noexcept {
    const Py_ssize_t number = value == nullptr ? 0 : PyLong_AsSsize_t(value);
    if (number == -1 && PyErr_Occurred() != nullptr) {
        return -1;
    }
    queue_of(self).unfinished = number;
    return 0;
}

PyObject* get_finished(PyObject* self, void*) noexcept {
    return queue_of(self).finished.as_python().release();
}

int set_finished(PyObject* self, PyObject* value, void*) noexcept {
    queue_of(self).finished.replace(value);
    return 0;
}

constexpr PyGetSetDef kMaxsize = {"_maxsize", get_maxsize, set_maxsize_attribute, nullptr, nullptr};
constexpr PyGetSetDef kGetters = property<Queue, &Queue::getters>("_getters");
constexpr PyGetSetDef kPutters = property<Queue, &Queue::putters>("_putters");
constexpr PyGetSetDef kUnfinished = {"_unfinished_tasks", get_unfinished, set_unfinished, nullptr,
                                     nullptr};
constexpr PyGetSetDef kFinished = {"_finished", get_finished, set_finished, nullptr, nullptr};
constexpr PyGetSetDef kItems = {"_queue", get_items, set_items, nullptr, nullptr};
constexpr PyGetSetDef kIsShutdown = property<Queue, &Queue::is_shutdown>("_is_shutdown");
constexpr PyGetSetDef kLoop = optional_property<Queue, &Queue::loop>("_loop");

// In the order in which asyncio sets them. Before shutdown() came, `_is_shutdown` was free for
// subclasses to use.
PyGetSetDef attributes[] = {kMaxsize, kGetters,    kPutters, kUnfinished,     kFinished,
                            kItems,   kIsShutdown, kLoop,    kEndOfProperties};
PyGetSetDef early_attributes[] = {kMaxsize,  kGetters, kPutters, kUnfinished,
                                  kFinished, kItems,   kLoop,    kEndOfProperties};

constexpr PyGetSetDef kPublicMaxsize = {"maxsize", get_maxsize, nullptr,
                                        "How many items fit; as many as come if it is 0 or less.",
                                        nullptr};
PyGetSetDef properties[] = {
    kPublicMaxsize, {"__dict__", get_dict, set_dict, nullptr, attributes}, kEndOfProperties};
PyGetSetDef early_properties[] = {
    kPublicMaxsize, {"__dict__", get_dict, set_dict, nullptr, early_attributes}, kEndOfProperties};

} // namespace

QueueTables queue_tables(bool has_shutdown) noexcept {
    return has_shutdown ? QueueTables{properties, attributes}
                        : QueueTables{early_properties, early_attributes};
}

} // namespace bucle::sync
