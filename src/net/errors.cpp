// See errors.hpp.
#include "net/errors.hpp"

#include "core/scheduler.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <cerrno>

namespace bucle::net {
namespace {

// asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES
constexpr std::size_t kLostWritesBeforeWarning = 5;

// 1 yes, 0 no, -1 an error is set.
int is_expected(PyObject* error, Expected expected) noexcept {
    const int is_os_error = PyObject_IsInstance(error, PyExc_OSError);
    if (is_os_error <= 0 || expected == Expected::os_errors) {
        return is_os_error;
    }
    const py::Ref number = py::Ref::steal(PyObject_GetAttrString(error, "errno"));
    const py::Ref eio = number ? py::Ref::steal(PyLong_FromLong(EIO)) : py::Ref();
    return eio ? PyObject_RichCompareBool(number.get(), eio.get(), Py_EQ) : -1;
}

} // namespace

bool log(const char* module, const char* level, const char* format, PyObject* first,
         PyObject* second, PyObject* error) noexcept {
    const py::Ref home = py::Ref::steal(PyImport_ImportModule(module));
    const py::Ref logger =
        home ? py::Ref::steal(PyObject_GetAttrString(home.get(), "logger")) : py::Ref();
    const py::Ref method =
        logger ? py::Ref::steal(PyObject_GetAttrString(logger.get(), level)) : py::Ref();
    const py::Ref text = method ? py::Ref::steal(PyUnicode_FromString(format)) : py::Ref();
    const py::Ref args = !text              ? py::Ref()
                         : first == nullptr ? py::Ref::steal(PyTuple_Pack(1, text.get()))
                         : second == nullptr
                             ? py::Ref::steal(PyTuple_Pack(2, text.get(), first))
                             : py::Ref::steal(PyTuple_Pack(3, text.get(), first, second));
    const py::Ref keywords = args ? py::Ref::steal(PyDict_New()) : py::Ref();
    return keywords &&
           (error == nullptr || PyDict_SetItemString(keywords.get(), "exc_info", error) == 0) &&
           py::Ref::steal(PyObject_Call(method.get(), args.get(), keywords.get()));
}

bool report_fatal_error(PyObject* transport, PyObject* loop, PyObject* protocol, PyObject* error,
                        const char* message, Expected expected, const char* module) noexcept {
    const int quiet = is_expected(error, expected);
    py::Ref text = quiet < 0 ? py::Ref() : py::Ref::steal(PyUnicode_FromString(message));
    if (!text) {
        return false;
    }
    if (quiet > 0) {
        bool failed = false;
        const bool debug = core::debug_of(loop, failed);
        return !failed && (!debug || log(module, "debug", "%r: %s", transport, text.get(), error));
    }
    const py::Names& names = py::names();
    const py::Handling handled(error);
    return core::report_to_loop(loop, std::move(text),
                                {{names.exception, error},
                                 {names.transport, transport},
                                 {names.protocol, protocol == nullptr ? Py_None : protocol}});
}

bool count_lost_write(std::size_t& lost, const char* module, const char* warning) noexcept {
    const bool warns = lost >= kLostWritesBeforeWarning;
    if (warns && !log(module, "warning", warning)) {
        return false;
    }
    ++lost;
    return true;
}

py::Ref os_error(int error) noexcept {
    (void)py::raise_os_error(error);
    return py::compat::take_exception();
}

} // namespace bucle::net
