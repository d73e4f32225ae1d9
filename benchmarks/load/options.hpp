// The command line of the two programs: a mode, then key=value for what differs from the defaults.
//
// Anything wrong ends the program with one line on standard error, which the report shows: a figure
// from half a measurement would be worse than none.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace load {

[[noreturn]] inline void die(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

[[noreturn]] inline void die_errno(const char* what, int error) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(error));
    std::exit(1);
}

struct Options {
    std::string mode;
    int port = 0;
    int pid = 0;
    int connections = 1;
    int request = 1024;
    int response = 1024;
    int windows = 10;
    double warm = 0.2;
    double window = 0.05;
};

inline Options read_options(int count, char** words) {
    if (count < 2) {
        die("usage: MODE [KEY=VALUE...]");
    }
    Options options;
    options.mode = words[1];
    for (int index = 2; index < count; ++index) {
        const std::string_view word = words[index];
        const std::size_t equals = word.find('=');
        if (equals == std::string_view::npos) {
            die("expected KEY=VALUE");
        }
        const std::string_view key = word.substr(0, equals);
        const double value = std::atof(words[index] + equals + 1);
        const int whole = static_cast<int>(value);
        if (key == "port") {
            options.port = whole;
        } else if (key == "pid") {
            options.pid = whole;
        } else if (key == "connections") {
            options.connections = whole;
        } else if (key == "request") {
            options.request = whole;
        } else if (key == "response") {
            options.response = whole;
        } else if (key == "windows") {
            options.windows = whole;
        } else if (key == "warm") {
            options.warm = value;
        } else if (key == "window") {
            options.window = value;
        } else {
            die("unknown key");
        }
    }
    if (options.connections < 1 || options.request < 1 || options.response < 1 ||
        options.windows < 1 || options.window <= 0) {
        die("a size or a count out of range");
    }
    return options;
}

} // namespace load
