// The load generator: a client that is cheaper than any server it drives, in a process of its own.
//
//   load exchange  port=P pid=S connections=50 request=1024 response=1024   over TCP, one in flight
//   load datagram  the same over UDP; one that is lost is sent again
//   load short     the same over TCP, a new connection for each exchange
//   load drain     takes what the server sends; an operation is a byte
//   load hold      reads numbers: opens connections until there are so many, and says so
//
// It never sleeps while it measures: to be woken costs the server a share of each write, and that
// share would depend on how fast the server is. A request is made of numbered lines of 64 bytes; a
// response that is no longer than its request has to begin like it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

#include "meter.hpp"
#include "options.hpp"

namespace load {
namespace {

constexpr std::size_t kLine = 64;
constexpr int kBatch = 64;
constexpr double kLost = 0.1;
constexpr std::size_t kBuffer = std::size_t{1} << 20;

std::vector<char> buffer(kBuffer);

sockaddr_in address(std::uint32_t host, int port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(static_cast<std::uint16_t>(port));
    result.sin_addr.s_addr = htonl(host);
    return result;
}

int open_socket(int kind) {
    const int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        die_errno("socket", errno);
    }
    const int on = 1;
    if ((kind & SOCK_DGRAM) == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        die_errno("TCP_NODELAY", errno);
    }
    return fd;
}

// A loopback address of its own for each of many short connections: ports that wait for their time
// to pass after a close are counted by address, and one address has 28,000 of them.
void bind_source(int fd, unsigned number) {
    const int on = 1;
    const sockaddr_in source = address(INADDR_LOOPBACK + 1 + number % 200, 0);
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
        die_errno("bind", errno);
    }
}

void connect_to(int fd, int port) {
    const sockaddr_in peer = address(INADDR_LOOPBACK, port);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0 &&
        errno != EINPROGRESS) {
        die_errno("connect", errno);
    }
}

std::string make_request(int number, int size) {
    std::string line = std::to_string(number);
    line.resize(kLine - 1, '-');
    line += '\n';
    std::string request;
    while (request.size() < static_cast<std::size_t>(size)) {
        request += line;
    }
    request.resize(static_cast<std::size_t>(size));
    return request;
}

struct Connection {
    int fd = -1;
    std::string request;
    std::size_t sent = 0;
    std::size_t received = 0;
    double since = 0;
    bool waits_to_write = false;
};

// One kind of exchange over many connections, one in flight on each.
class Exchanges {
  public:
    explicit Exchanges(const Options& options)
        : options_(options), meter_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)),
          datagrams_(options.mode == "datagram"), short_(options.mode == "short"),
          size_(static_cast<std::size_t>(options.response)) {
        if (epoll_ < 0) {
            die_errno("epoll_create1", errno);
        }
        for (int number = 0; number < options.connections; ++number) {
            Connection& made = connections_.emplace_back();
            made.request = make_request(number, options.request);
            open(made);
        }
    }

    void run() {
        epoll_event events[kBatch];
        double checked = meter_.now();
        for (;;) {
            const int count = epoll_wait(epoll_, events, kBatch, 0);
            if (count < 0 && errno != EINTR) {
                die_errno("epoll_wait", errno);
            }
            if (!meter_.goes_on(count > 0)) {
                break;
            }
            for (int index = 0; index < count; ++index) {
                const epoll_event& event = events[index];
                Connection& connection = *static_cast<Connection*>(event.data.ptr);
                if (connection.waits_to_write && (event.events & EPOLLOUT) != 0) {
                    send_rest(connection);
                }
                if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) {
                    receive(connection);
                }
            }
            if (datagrams_ && meter_.now() > checked + kLost) {
                checked = meter_.now();
                send_lost_again(checked);
            }
        }
        meter_.report();
    }

  private:
    void open(Connection& connection) {
        // Only a short connection is opened while others are measured, and must not be waited for.
        if (short_) {
            connection.fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
            bind_source(connection.fd, opened_++);
        } else {
            connection.fd = open_socket(datagrams_ ? SOCK_DGRAM : SOCK_STREAM);
        }
        connect_to(connection.fd, options_.port);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &connection;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) {
            die_errno("epoll_ctl", errno);
        }
        connection.waits_to_write = false;
        start(connection);
    }

    void start(Connection& connection) {
        connection.sent = connection.received = 0;
        connection.since = meter_.now();
        send_rest(connection);
    }

    void send_rest(Connection& connection) {
        const char* from = connection.request.data() + connection.sent;
        const std::size_t left = connection.request.size() - connection.sent;
        const ssize_t count = send(connection.fd, from, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            connection.sent += static_cast<std::size_t>(count);
        } else if (errno != EAGAIN) {
            die_errno("send", errno);
        }
        const bool waits = connection.sent != connection.request.size();
        if (waits != connection.waits_to_write) {
            connection.waits_to_write = waits;
            epoll_event event{};
            event.events = EPOLLIN | (waits ? EPOLLOUT : 0U);
            event.data.ptr = &connection;
            epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
        }
    }

    void receive(Connection& connection) {
        char* const into = buffer.data() + connection.received;
        const ssize_t count =
            recv(connection.fd, into, kBuffer - connection.received, MSG_DONTWAIT);
        if (count < 0) {
            if (errno == EAGAIN) {
                return;
            }
            die_errno("recv", errno);
        }
        if (count == 0) {
            die("the server closed a connection");
        }
        // Several connections share the buffer: what is there of a long response is compared now.
        const std::size_t end = connection.received + static_cast<std::size_t>(count);
        if (end > size_) {
            die("a response is longer than expected");
        }
        if (size_ <= connection.request.size() &&
            std::memcmp(into, connection.request.data() + connection.received,
                        static_cast<std::size_t>(count)) != 0) {
            die("a response is not the expected one");
        }
        connection.received = end;
        if (end == size_) {
            meter_.count(1);
            if (short_) {
                close(connection.fd);
                open(connection);
            } else {
                start(connection);
            }
        }
    }

    void send_lost_again(double now) {
        for (Connection& connection : connections_) {
            if (now > connection.since + kLost) {
                start(connection);
            }
        }
    }

    const Options& options_;
    Meter meter_;
    int epoll_;
    bool datagrams_;
    bool short_;
    std::size_t size_;
    unsigned opened_ = 0;
    std::deque<Connection> connections_;
};

// MSG_TRUNC has TCP drop what arrives without a copy.
void drain(const Options& options) {
    Meter meter(options);
    const int fd = open_socket(SOCK_STREAM);
    connect_to(fd, options.port);
    for (;;) {
        const ssize_t count = recv(fd, buffer.data(), kBuffer, MSG_TRUNC | MSG_DONTWAIT);
        if (count == 0) {
            die("the server closed the connection");
        }
        if (count < 0 && errno != EAGAIN) {
            die_errno("recv", errno);
        }
        if (!meter.goes_on(count > 0)) {
            break;
        }
        if (count > 0) {
            meter.count(static_cast<double>(count));
        }
    }
    meter.report();
}

void hold(const Options& options) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const std::string request = make_request(0, options.request);
    int opened = 0;
    for (int wanted = 0; std::cin >> wanted;) {
        for (; opened < wanted; ++opened) {
            const int fd = open_socket(SOCK_STREAM);
            connect_to(fd, options.port);
            const auto size = static_cast<ssize_t>(request.size());
            if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != size ||
                recv(fd, buffer.data(), request.size(), MSG_WAITALL) != size) {
                die_errno("a held connection", errno);
            }
        }
        std::printf("%d\n", opened);
        std::fflush(stdout);
    }
}

} // namespace
} // namespace load

int main(int count, char** words) {
    const load::Options options = load::read_options(count, words);
    if (options.mode == "drain") {
        load::drain(options);
    } else if (options.mode == "hold") {
        load::hold(options);
    } else if (options.mode == "exchange" || options.mode == "datagram" ||
               options.mode == "short") {
        load::Exchanges(options).run();
    } else {
        load::die("unknown mode");
    }
    return 0;
}
