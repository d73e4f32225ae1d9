// loop.getaddrinfo. The answer for a host that is an address and a port that is a number does not
// depend on the machine: it is made here, without the executor. Everything else is asked as asyncio
// asks it: socket.getaddrinfo, whichever function that is by then, in the default executor.
//
// What the C library answers is not written down here: the first question of a kind is put to
// socket.getaddrinfo itself, at once, for with AI_NUMERICHOST it looks nothing up; its answer is
// the pattern for the next ones. Where there is none, as for the zone of an IPv6 address, it is
// asked each time.
#include "net/net.hpp"

#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "loop/loop.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cstring>
#include <new>

namespace bucle::net {
namespace {

// Of the answer to a question of one kind: what stays when host and port are others.
struct Kind {
    static constexpr int kNumbers = 4; // family, type, protocol, flags
    int asked[kNumbers];
    int address_family; // of the host
    bool has_port;

    bool operator==(const Kind&) const noexcept = default;
};

struct Row {
    PyObject* family;
    PyObject* type;
    PyObject* protocol;
    bool names_host; // its canonical name is the host
};

struct Pattern {
    static constexpr Py_ssize_t kRows = 4;
    Kind kind;
    Py_ssize_t rows;
    Row row[kRows];
};

struct Literals {
    static constexpr int kPatterns = 32;
    PyObject* original = nullptr; // socket.getaddrinfo; null: it had been replaced when we came
    PyObject* module = nullptr;   // socket
    PyObject* gaierror = nullptr; // socket.gaierror
    PyObject* keywords = nullptr; // of loop.getaddrinfo
    PyObject* empty = nullptr;    // ''
    int count = 0;
    Pattern patterns[kPatterns];
};

Literals& literals() noexcept {
    return *static_cast<Literals*>(py::state().literals);
}

// A question: the tuple (host, port, family, type, proto, flags) and what it was found to be.
struct Question {
    explicit Question(PyObject* tuple) noexcept : given(tuple) {}

    PyObject* given;
    Kind kind = {};
    py::Ref host; // as the answer spells it; null: ask each time
    py::Ref port;
    sockaddr_in6 address = {};

    PyObject* item(int at) const noexcept { return PyTuple_GET_ITEM(given, at); }
};

constexpr int kPlainFlags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
constexpr std::size_t kLongest = INET6_ADDRSTRLEN + 32; // with a zone

bool read_int(PyObject* object, int& out) noexcept {
    int overflow = 0;
    const long value = PyLong_Check(object) ? PyLong_AsLongAndOverflow(object, &overflow) : -1;
    out = static_cast<int>(value);
    return PyLong_Check(object) && overflow == 0 && out == value;
}

// An int, digits or None. False without an error: nothing for us, as is all that follows.
bool read_port(Question& question) noexcept {
    PyObject* const port = question.item(1);
    question.kind.has_port = port != Py_None;
    if (port == Py_None) {
        question.port = py::Ref::borrow(py::state().zero);
        return true;
    }
    int number = 0;
    if (PyUnicode_CheckExact(port)) {
        Py_ssize_t size = 0;
        const char* const text =
            PyUnicode_IS_ASCII(port) ? PyUnicode_AsUTF8AndSize(port, &size) : nullptr;
        if (size < 1 || size > 5 || (text[0] == '0' && size != 1)) {
            return false;
        }
        for (Py_ssize_t i = 0; i != size; ++i) {
            if (text[i] < '0' || text[i] > '9') {
                return false;
            }
            number = number * 10 + (text[i] - '0');
        }
        question.port = py::Ref::steal(PyLong_FromLong(number));
    } else if (PyLong_CheckExact(port) && read_int(port, number)) {
        question.port = py::Ref::borrow(port);
    } else {
        return false;
    }
    return number >= 0 && number <= 0xffff && question.port;
}

bool host_text(PyObject* host, char (&text)[kLongest]) noexcept {
    const char* from = nullptr;
    Py_ssize_t size = 0;
    if (PyUnicode_CheckExact(host) && PyUnicode_IS_ASCII(host)) {
        from = PyUnicode_AsUTF8AndSize(host, &size);
    } else if (PyBytes_CheckExact(host)) {
        from = PyBytes_AS_STRING(host);
        size = PyBytes_GET_SIZE(host);
    }
    const auto length = static_cast<std::size_t>(size);
    if (from == nullptr || length >= kLongest || std::strlen(from) != length) {
        PyErr_Clear();
        return false;
    }
    std::memcpy(text, from, length + 1);
    return true;
}

bool read_host(Question& question) noexcept {
    PyObject* const host = question.item(0);
    char text[kLongest];
    if (!host_text(host, text)) {
        return false;
    }
    char* const zone = std::strchr(text, '%');
    if (zone != nullptr) {
        *zone = '\0';
    }
    in_addr short_address;
    if (zone == nullptr && ::inet_pton(AF_INET, text, &short_address) == 1) {
        question.kind.address_family = AF_INET; // there is one way to write it
        question.host = PyUnicode_Check(host) ? py::Ref::borrow(host)
                                              : py::Ref::steal(PyUnicode_FromString(text));
        return static_cast<bool>(question.host);
    }
    if (::inet_pton(AF_INET6, text, &question.address.sin6_addr) != 1) {
        return false;
    }
    question.kind.address_family = AF_INET6;
    if (zone == nullptr) {
        char canonical[INET6_ADDRSTRLEN];
        (void)::inet_ntop(AF_INET6, &question.address.sin6_addr, canonical, sizeof canonical);
        const bool same = PyUnicode_Check(host) && std::strcmp(canonical, text) == 0;
        question.host =
            same ? py::Ref::borrow(host) : py::Ref::steal(PyUnicode_FromString(canonical));
    }
    return true;
}

// Whether it can be answered without looking anything up.
bool understand(Question& question) noexcept {
    Kind& kind = question.kind;
    for (int i = 0; i != Kind::kNumbers; ++i) {
        if (!read_int(question.item(i + 2), kind.asked[i])) {
            return false;
        }
    }
    const int flags = kind.asked[3];
    return (flags & ~(kPlainFlags | AI_CANONNAME)) == 0 && read_host(question) &&
           (kind.asked[0] == AF_UNSPEC || kind.asked[0] == kind.address_family) &&
           read_port(question);
}

const Pattern* find_pattern(const Kind& kind) noexcept {
    const Literals& known = literals();
    for (int i = 0; i != known.count; ++i) {
        if (known.patterns[i].kind == kind) {
            return &known.patterns[i];
        }
    }
    return nullptr;
}

bool same_text(PyObject* one, PyObject* other) noexcept {
    return PyUnicode_Check(one) && PyUnicode_Check(other) && PyUnicode_Compare(one, other) == 0;
}

py::Ref make_address(const Question& question) noexcept {
    PyObject* const host = question.host.get();
    PyObject* const port = question.port.get();
    PyObject* const zero = py::state().zero;
    return py::Ref::steal(question.kind.address_family == AF_INET
                              ? PyTuple_Pack(2, host, port)
                              : PyTuple_Pack(4, host, port, zero, zero));
}

// Remembers an answer as the pattern for its kind, unless it has something of its own.
void learn(const Question& question, PyObject* answer) noexcept {
    Literals& known = literals();
    if (!PyList_CheckExact(answer) || !question.host || known.count == Literals::kPatterns ||
        PyList_GET_SIZE(answer) > Pattern::kRows || find_pattern(question.kind) != nullptr) {
        return;
    }
    Pattern pattern = {question.kind, PyList_GET_SIZE(answer), {}};
    const py::Ref address = make_address(question);
    if (!address) {
        PyErr_Clear();
        return;
    }
    for (Py_ssize_t i = 0; i != pattern.rows; ++i) {
        PyObject* const entry = PyList_GET_ITEM(answer, i);
        if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 5) {
            return;
        }
        PyObject* const name = PyTuple_GET_ITEM(entry, 3);
        const bool names_host = same_text(name, question.host.get());
        const int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(entry, 4), address.get(), Py_EQ);
        if (same != 1 || (!names_host && !same_text(name, known.empty))) {
            PyErr_Clear();
            return;
        }
        pattern.row[i] = {PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1),
                          PyTuple_GET_ITEM(entry, 2), names_host};
    }
    for (Py_ssize_t i = 0; i != pattern.rows; ++i) { // from now on they are ours, for good
        (void)py::new_ref(pattern.row[i].family);
        (void)py::new_ref(pattern.row[i].type);
        (void)py::new_ref(pattern.row[i].protocol);
    }
    known.patterns[known.count++] = pattern;
}

// The answer; null without an error: the executor is to be asked.
py::Ref ask_at_once(const Question& question) noexcept {
    const py::Ref flags = py::Ref::steal(PyLong_FromLong(question.kind.asked[3] | AI_NUMERICHOST));
    py::Ref answer =
        flags ? py::call(literals().original, question.item(0), question.item(1), question.item(2),
                         question.item(3), question.item(4), flags.get())
              : py::Ref();
    if (answer) {
        learn(question, answer.get());
    } else if (PyErr_ExceptionMatches(literals().gaierror) != 0) {
        PyErr_Clear(); // it will be raised where asyncio raises it
    }
    return answer;
}

py::Ref fill(const Pattern& pattern, const Question& question) noexcept {
    const int* const asked = question.kind.asked;
    if (PySys_Audit("socket.getaddrinfo", "OOiii", question.item(0), question.item(1), asked[0],
                    asked[1], asked[2]) < 0) {
        return {};
    }
    const py::Ref address = make_address(question);
    py::Ref list = address ? py::Ref::steal(PyList_New(pattern.rows)) : py::Ref();
    for (Py_ssize_t i = 0; list && i != pattern.rows; ++i) {
        const Row& row = pattern.row[i];
        PyObject* const entry =
            PyTuple_Pack(5, row.family, row.type, row.protocol,
                         row.names_host ? question.host.get() : literals().empty, address.get());
        if (entry == nullptr) {
            return {};
        }
        PyList_SET_ITEM(list.get(), i, entry);
    }
    return list;
}

// A name that has to be spelled as it was given can be told only where that is the only spelling.
bool fits(const Pattern& pattern, const Question& question) noexcept {
    for (Py_ssize_t i = 0; i != pattern.rows; ++i) {
        if (pattern.row[i].names_host && question.host.get() != question.item(0)) {
            return false;
        }
    }
    return static_cast<bool>(question.host);
}

py::Ref answer_at_once(PyObject* given) noexcept {
    Question question(given);
    if (!understand(question)) {
        PyErr_Clear();
        return {};
    }
    const Pattern* const pattern = find_pattern(question.kind);
    return pattern != nullptr && fits(*pattern, question) ? fill(*pattern, question)
                                                          : ask_at_once(question);
}

// asyncio looks it up in the module that its own module knows by that name.
bool is_replaced() noexcept {
    const py::State& state = py::state();
    const py::Ref module = py::get_attr(state.base_events, state.names.socket);
    const py::Ref function =
        module ? py::get_attr(module.get(), state.names.getaddrinfo) : py::Ref();
    PyErr_Clear();
    return !function || function.get() != literals().original || module.get() != literals().module;
}

enum GetaddrinfoStage : std::uint8_t { kBegin, kAsked };

core::Step getaddrinfo(core::Coroutine& co, py::Ref value, py::Ref error,
                       py::Ref& result) noexcept {
    if (co.stage == kAsked) {
        return error ? core::fail_with(std::move(error))
                     : core::finish_with(result, std::move(value));
    }
    PyObject* const loop = co.arguments[0].get();
    PyObject* const given = co.arguments[1].get();
    const core::Scheduler& scheduler = *loop::loop_core(loop);
    if (!core::check_closed(scheduler)) {
        return core::Step::fail;
    }
    if (!scheduler.debug() && !is_replaced()) { // debug mode tells how long it took
        py::Ref answer = answer_at_once(given);
        if (answer || PyErr_Occurred() != nullptr) {
            return core::finish_with(result, std::move(answer));
        }
    }
    PyObject* const stack[] = {loop,
                               PyTuple_GET_ITEM(given, 0),
                               PyTuple_GET_ITEM(given, 1),
                               PyTuple_GET_ITEM(given, 2),
                               PyTuple_GET_ITEM(given, 3),
                               PyTuple_GET_ITEM(given, 4),
                               PyTuple_GET_ITEM(given, 5)};
    const py::Ref asking = py::Ref::steal(PyObject_Vectorcall(
        py::as_function(co.function.get()).twin, stack, 3, literals().keywords));
    return asking ? co.wait(core::awaitable_of(asking.get()), kAsked) : core::Step::fail;
}

PyObject* make_getaddrinfo(py::Function& function, PyObject* const* args) noexcept {
    const py::Ref given =
        py::Ref::steal(PyTuple_Pack(6, args[1], args[2], args[3], args[4], args[5], args[6]));
    PyObject* const packed[] = {args[0], given.get(), Py_None};
    return given ? core::make_coroutine(function, packed) : nullptr;
}

// The function that the socket module defines, if that is what it has.
PyObject* find_original(PyObject* module) noexcept {
    const py::Ref function = py::get_attr(module, py::names().getaddrinfo);
    PyErr_Clear();
    const bool own = function && PyFunction_Check(function.get()) &&
                     PyFunction_GetGlobals(function.get()) == PyModule_GetDict(module);
    return own ? function.clone().release() : nullptr;
}

} // namespace

bool add_getaddrinfo() noexcept {
    py::State& state = py::state();
    if (state.literals == nullptr) {
        state.literals = new (std::nothrow) Literals;
    }
    if (state.literals == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    const py::Ref module = py::Ref::steal(PyImport_ImportModule("socket"));
    if (!module) {
        return false;
    }
    const py::Names& names = state.names;
    Literals& known = literals();
    known.module = module.clone().release();
    known.original = find_original(module.get());
    known.gaierror = PyObject_GetAttrString(module.get(), "gaierror");
    known.empty = PyUnicode_FromStringAndSize(nullptr, 0);
    const py::Ref flags = py::Ref::steal(PyUnicode_InternFromString("flags"));
    known.keywords =
        flags ? PyTuple_Pack(4, names.family, names.type, names.proto, flags.get()) : nullptr;
    const py::Ref base_loop =
        py::Ref::steal(PyObject_GetAttrString(state.base_events, "BaseEventLoop"));
    static const py::FunctionRow kRows[] = {
        {"getaddrinfo", make_getaddrinfo, reinterpret_cast<void*>(getaddrinfo)},
        {nullptr, nullptr},
    };
    return known.gaierror != nullptr && known.keywords != nullptr && base_loop &&
           py::add_functions(state.loop_type, base_loop.get(), kRows);
}

} // namespace bucle::net
