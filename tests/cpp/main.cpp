// The runner of the C++ tests: doctest's own main, and an end to tests that hang.
//
// A lost wake-up shows as a run that never returns; the alarm makes it a failure instead of a
// build that stands still. It bounds the whole run and is far beyond what any machine needs.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>

int main(int argc, char** argv) {
    alarm(300);
    // As in an interpreter: writing to a closed pipe is an errno.
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    return doctest::Context(argc, argv).run();
}
