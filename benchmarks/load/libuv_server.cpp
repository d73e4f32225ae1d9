// What libuv can do in C, without Python: the servers of benchmarks/net.py, as the limit beside the
// event loops.
//
//   libuv_server stream request=1024            sends back what comes
//   libuv_server answer request=128 response=1024   head and body, both by one write
//   libuv_server send                           sends blocks of 64 KiB as fast as they are taken
//   libuv_server datagram                       sends back each datagram
//   libuv_server version
//
// It prints its port, and ends with its standard input. All connections read into one buffer: what
// is read is written before anything else is read, only what the kernel does not take is copied.
#include <uv.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "options.hpp"

namespace load {
namespace {

constexpr std::size_t kBlock = std::size_t{64} << 10;
constexpr int kBlocksInARow = 16;
constexpr int kBacklog = 128;

enum class Serve { kEcho, kAnswer, kSend };

struct Connection {
    uv_tcp_t tcp;
    std::size_t received = 0;
};

struct Rest {
    uv_write_t request;
    std::vector<char> bytes;
};

uv_loop_t* const loop = uv_default_loop();
Options options;
Serve serve = Serve::kEcho;
std::vector<char> block(kBlock, 'b');
std::vector<char> buffer(kBlock);

void need(int status, const char* what) {
    if (status < 0) {
        std::fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        std::exit(1);
    }
}

void close_connection(Connection& connection) {
    auto* const handle = reinterpret_cast<uv_handle_t*>(&connection.tcp);
    if (uv_is_closing(handle) == 0) {
        uv_close(handle,
                 [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
    }
}

void send_blocks(Connection& connection);

// False when a part had to be queued, or the connection is gone.
bool write_all(Connection& connection, const char* bytes, std::size_t size) {
    auto* const stream = reinterpret_cast<uv_stream_t*>(&connection.tcp);
    uv_buf_t data = uv_buf_init(const_cast<char*>(bytes), static_cast<unsigned>(size));
    const int count = uv_try_write(stream, &data, 1);
    if (count == static_cast<int>(size)) {
        return true;
    }
    if (count < 0 && count != UV_EAGAIN) {
        close_connection(connection);
        return false;
    }
    const std::size_t done = count < 0 ? 0 : static_cast<std::size_t>(count);
    auto* const rest = new Rest{{}, std::vector<char>(bytes + done, bytes + size)};
    rest->request.data = rest;
    data = uv_buf_init(rest->bytes.data(), static_cast<unsigned>(rest->bytes.size()));
    const int status =
        uv_write(&rest->request, stream, &data, 1, [](uv_write_t* request, int ended) {
            Connection& writer = *static_cast<Connection*>(request->handle->data);
            delete static_cast<Rest*>(request->data);
            if (ended < 0) {
                close_connection(writer);
            } else if (serve == Serve::kSend) {
                send_blocks(writer);
            }
        });
    need(status, "uv_write");
    return false;
}

// A turn of the loop after some, as any server takes that has other connections, too.
void send_blocks(Connection& connection) {
    for (int count = 0; count < kBlocksInARow; ++count) {
        if (!write_all(connection, block.data(), kBlock)) {
            return;
        }
    }
    auto* const pause = new uv_idle_t;
    need(uv_idle_init(loop, pause), "uv_idle_init");
    pause->data = &connection;
    uv_idle_start(pause, [](uv_idle_t* ended) {
        auto& writer = *static_cast<Connection*>(ended->data);
        uv_close(reinterpret_cast<uv_handle_t*>(ended),
                 [](uv_handle_t* closed) { delete reinterpret_cast<uv_idle_t*>(closed); });
        send_blocks(writer);
    });
}

void offer_buffer(uv_handle_t*, std::size_t, uv_buf_t* offered) {
    *offered = uv_buf_init(buffer.data(), static_cast<unsigned>(buffer.size()));
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* data) {
    Connection& connection = *static_cast<Connection*>(stream->data);
    if (count < 0) {
        close_connection(connection);
        return;
    }
    if (count == 0) {
        return;
    }
    if (serve == Serve::kEcho) {
        write_all(connection, data->base, static_cast<std::size_t>(count));
        return;
    }
    const auto request = static_cast<std::size_t>(options.request);
    connection.received += static_cast<std::size_t>(count);
    for (; connection.received >= request; connection.received -= request) {
        write_all(connection, block.data(), static_cast<std::size_t>(options.response));
    }
}

void on_connection(uv_stream_t* listener, int status) {
    need(status, "uv_listen");
    auto* const connection = new Connection;
    need(uv_tcp_init(loop, &connection->tcp), "uv_tcp_init");
    connection->tcp.data = connection;
    auto* const stream = reinterpret_cast<uv_stream_t*>(&connection->tcp);
    need(uv_accept(listener, stream), "uv_accept");
    uv_tcp_nodelay(&connection->tcp, 1);
    if (serve == Serve::kSend) {
        send_blocks(*connection);
    } else {
        need(uv_read_start(stream, offer_buffer, on_read), "uv_read_start");
    }
}

void on_datagram(uv_udp_t* handle, ssize_t count, const uv_buf_t* data, const sockaddr* sender,
                 unsigned) {
    if (count > 0 && sender != nullptr) {
        const uv_buf_t answer = uv_buf_init(data->base, static_cast<unsigned>(count));
        uv_udp_try_send(handle, &answer, 1, sender);
    }
}

int port_of(const sockaddr_storage& name) {
    const auto& internet = reinterpret_cast<const sockaddr_in&>(name);
    return ntohs(internet.sin_port);
}

int listen_stream(uv_tcp_t& listener, const sockaddr* address) {
    need(uv_tcp_init(loop, &listener), "uv_tcp_init");
    need(uv_tcp_bind(&listener, address, 0), "uv_tcp_bind");
    auto* const stream = reinterpret_cast<uv_stream_t*>(&listener);
    need(uv_listen(stream, kBacklog, on_connection), "uv_listen");
    sockaddr_storage name{};
    int size = sizeof name;
    need(uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&name), &size), "getsockname");
    return port_of(name);
}

int listen_datagram(uv_udp_t& socket, const sockaddr* address) {
    need(uv_udp_init(loop, &socket), "uv_udp_init");
    need(uv_udp_bind(&socket, address, 0), "uv_udp_bind");
    need(uv_udp_recv_start(&socket, offer_buffer, on_datagram), "uv_udp_recv_start");
    sockaddr_storage name{};
    int size = sizeof name;
    need(uv_udp_getsockname(&socket, reinterpret_cast<sockaddr*>(&name), &size), "getsockname");
    return port_of(name);
}

void end_with_input(uv_pipe_t& input) {
    need(uv_pipe_init(loop, &input, 0), "uv_pipe_init");
    need(uv_pipe_open(&input, 0), "uv_pipe_open");
    auto* const stream = reinterpret_cast<uv_stream_t*>(&input);
    const auto end = [](uv_stream_t*, ssize_t count, const uv_buf_t*) {
        if (count < 0) {
            std::exit(0);
        }
    };
    need(uv_read_start(stream, offer_buffer, end), "uv_read_start");
}

void run() {
    sockaddr_in any{};
    need(uv_ip4_addr("127.0.0.1", 0, &any), "uv_ip4_addr");
    const auto* const address = reinterpret_cast<const sockaddr*>(&any);
    // libuv leaves it to the program not to be ended by a peer that is gone.
    std::signal(SIGPIPE, SIG_IGN);
    uv_tcp_t listener;
    uv_udp_t socket;
    uv_pipe_t input;
    const int port = options.mode == "datagram" ? listen_datagram(socket, address)
                                                : listen_stream(listener, address);
    end_with_input(input);
    std::printf("%d\n", port);
    std::fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
}

} // namespace
} // namespace load

int main(int count, char** words) {
    load::options = load::read_options(count, words);
    const std::string& mode = load::options.mode;
    if (mode == "version") {
        std::printf("libuv %s\n", uv_version_string());
        return 0;
    }
    if (mode == "answer") {
        load::serve = load::Serve::kAnswer;
    } else if (mode == "send") {
        load::serve = load::Serve::kSend;
    } else if (mode != "stream" && mode != "datagram") {
        load::die("unknown mode");
    }
    load::run();
    return 0;
}
