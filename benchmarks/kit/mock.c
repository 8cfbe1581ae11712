/* An OpenAI-compatible upstream that answers at once: fast enough on one core not to be the bottleneck.
 *
 *     mock PORT [CERTIFICATE KEY]          (PORT 0: any; the port is printed once it listens)
 *
 * Any POST is answered as /v1/chat/completions would be, as JSON or as server-sent events. The answer's shape is asked
 * for inside the request's own text, where every gateway passes it on untouched:
 *
 *     mock: reply=1200 chunks=200 gap_us=1000
 *
 * reply: bytes of answer text (default: a sentence of 119). chunks: content chunks of a stream (default 20), each sent
 * with a write of its own. gap_us: pause between chunks (default none). One thread, epoll, keep-alive, pipelining. TLS
 * where it was compiled with -DWITH_TLS and a certificate is given.
 *
 * With BUSY_POLL in the environment it stays awake for 2 ms after each request and yields the core instead of sleeping: a
 * server that wakes a sleeping neighbour on another core pays for the interrupt, which no server pays whose callers and
 * upstreams are on other machines.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef struct ssl_st SSL;
#endif

enum {
    MAX_CONNECTIONS = 4096, /* indexed by file descriptor */
    INPUT_BYTES = 256 * 1024,
    REPLY_BYTES = 64 * 1024,
    FRAME_BYTES = 1024,
    DEFAULT_CHUNKS = 20,
    WORDS = 10, /* chunks differ: gateways take a word said a hundred times for a model gone astray */
    WRITE_TIMEOUT_MS = 5000,
    AWAKE_US = 2000,
};

struct frame { /* bytes ready to be sent */
    size_t size;
    char bytes[FRAME_BYTES];
};

struct connection {
    bool open;
    SSL *tls;
    char *input;
    size_t filled;
    int steps_left; /* events of a paced stream still to send */
    bool with_usage;
    uint64_t gap_us, due_us;
};

struct shape { /* what the request asks the answer to look like */
    size_t reply;
    int chunks;
    uint64_t gap_us;
    bool stream, with_usage;
};

static struct connection connections[MAX_CONNECTIONS];
static int paced[MAX_CONNECTIONS], paced_count; /* connections in the middle of a paced stream */
static int poller, timer;
static char json_answer[REPLY_BYTES + 1024];
static size_t json_answer_size, json_answer_reply = SIZE_MAX; /* the reply size it was built for */
static struct frame stream_head, first_event, content_events[WORDS], finish_event, usage_event, done_event;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static const char SENTENCE[] = "Your order 48213 shipped on Tuesday and should arrive within two business days. "
                               "You can follow it from the tracking page.";

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void build_json_answer(size_t reply) {
    static char text[REPLY_BYTES], body[REPLY_BYTES + 768];
    size_t sentence = sizeof SENTENCE - 1;
    if (reply >= sizeof text) reply = sizeof text - 1;
    for (size_t i = 0; i < reply; i++) text[i] = SENTENCE[i % sentence];
    text[reply] = 0;
    int size = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-9f1d2c3b4a5e6f7081920a1b2c3d4e5f\",\"object\":\"chat.completion\",\"created\":1764000000,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":27,\"total_tokens\":85,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0}},\"system_fingerprint\":\"fp_0aa8d3e20b\"}", text);
    json_answer_size = (size_t)snprintf(json_answer, sizeof json_answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        "x-request-id: req_0123456789abcdef\r\n\r\n%s", size, body);
    json_answer_reply = reply;
}

/* One event as one HTTP chunk; `rest` completes the JSON object that all events begin with. */
static void build_event(struct frame *frame, const char *rest) {
    char event[FRAME_BYTES - 32];
    int size = snprintf(event, sizeof event,
        "data: {\"id\":\"chatcmpl-9f1d2c3b4a5e6f70\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"system_fingerprint\":\"fp_0aa8d3e20b\",%s}\n\n", rest);
    frame->size = (size_t)snprintf(frame->bytes, sizeof frame->bytes, "%x\r\n%s\r\n", size, event);
}

static void build_stream_frames(void) {
    stream_head.size = (size_t)snprintf(stream_head.bytes, FRAME_BYTES,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
        "x-request-id: req_0123456789abcdef\r\n\r\n");
    build_event(&first_event, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                              "\"logprobs\":null,\"finish_reason\":null}]");
    for (int word = 0; word < WORDS; word++) {
        char rest[256];
        snprintf(rest, sizeof rest, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" shipped%d\"},"
                                    "\"logprobs\":null,\"finish_reason\":null}]", word);
        build_event(&content_events[word], rest);
    }
    build_event(&finish_event, "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]");
    build_event(&usage_event, "\"choices\":[],\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":27,"
                              "\"total_tokens\":85}");
    done_event.size = (size_t)snprintf(done_event.bytes, FRAME_BYTES, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
}

/* ---- bytes in and out ---------------------------------------------------------------------------------------- */

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void hang_up(int fd) {
    struct connection *connection = &connections[fd];
#ifdef WITH_TLS
    if (connection->tls) SSL_free(connection->tls);
#endif
    connection->tls = NULL;
    connection->open = false;
    connection->filled = 0;
    connection->steps_left = 0;
    for (int i = 0; i < paced_count; i++)
        if (paced[i] == fd) paced[i] = -1; /* the number may be another connection's next */
    close(fd); /* epoll forgets it */
}

/* Returns bytes read, 0 when there are none now, -1 when the peer is gone. */
static ssize_t read_some(int fd, char *buffer, size_t room) {
#ifdef WITH_TLS
    SSL *tls = connections[fd].tls;
    if (tls) {
        int got = SSL_read(tls, buffer, (int)room);
        if (got > 0) return got;
        int why = SSL_get_error(tls, got);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t got = recv(fd, buffer, room, 0);
    if (got > 0) return got;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t write_some(int fd, const char *bytes, size_t size) {
#ifdef WITH_TLS
    SSL *tls = connections[fd].tls;
    if (tls) {
        int sent = SSL_write(tls, bytes, (int)size);
        if (sent > 0) return sent;
        return SSL_get_error(tls, sent) == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    return errno == EAGAIN ? 0 : -1;
}

/* Sends everything, waiting for a slow reader; false when the peer is gone. */
static bool write_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = write_some(fd, bytes, size);
        if (sent < 0) return false;
        if (sent == 0) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            if (poll(&wait, 1, WRITE_TIMEOUT_MS) <= 0) return false;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* ---- streams ------------------------------------------------------------------------------------------------- */

/* A stream's events, counted down: role, content..., finish, [usage], done. */
static bool send_event(int fd, int steps_left, bool first, bool with_usage) {
    const struct frame *frame = &content_events[steps_left % WORDS];
    if (first) frame = &first_event;
    else if (steps_left == 1) frame = &done_event;
    else if (steps_left == 2) frame = with_usage ? &usage_event : &finish_event;
    else if (steps_left == 3 && with_usage) frame = &finish_event;
    return write_all(fd, frame->bytes, frame->size);
}

/* Forgets the streams that ended, and wakes for the next event of those that remain. */
static void arm_timer(void) {
    uint64_t soonest = UINT64_MAX;
    int kept = 0;
    for (int i = 0; i < paced_count; i++) {
        if (paced[i] < 0 || connections[paced[i]].steps_left == 0) continue;
        paced[kept++] = paced[i];
        if (connections[paced[i]].due_us < soonest) soonest = connections[paced[i]].due_us;
    }
    paced_count = kept;
    struct itimerspec at = {0};
    if (paced_count) {
        at.it_value.tv_sec = (time_t)(soonest / 1000000u);
        at.it_value.tv_nsec = (long)(soonest % 1000000u * 1000u);
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void send_due_events(void) {
    uint64_t now = now_us();
    for (int i = 0; i < paced_count; i++) {
        int fd = paced[i];
        if (fd < 0 || connections[fd].due_us > now) continue;
        struct connection *connection = &connections[fd];
        if (send_event(fd, connection->steps_left, false, connection->with_usage)) {
            connection->steps_left--;
            connection->due_us += connection->gap_us;
        } else {
            hang_up(fd);
        }
    }
    arm_timer();
}

static bool start_stream(int fd, const struct shape *shape) {
    int steps = 1 + shape->chunks + 1 + shape->with_usage + 1;
    if (!write_all(fd, stream_head.bytes, stream_head.size)) return false;
    if (!send_event(fd, steps--, true, shape->with_usage)) return false;
    if (shape->gap_us == 0) {
        for (; steps; steps--)
            if (!send_event(fd, steps, false, shape->with_usage)) return false;
        return true;
    }
    struct connection *connection = &connections[fd];
    connection->steps_left = steps;
    connection->with_usage = shape->with_usage;
    connection->gap_us = shape->gap_us;
    connection->due_us = now_us() + shape->gap_us;
    paced[paced_count++] = fd;
    arm_timer();
    return true;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static size_t number_after(const char *text, const char *end, const char *name, size_t otherwise) {
    const char *found = memmem(text, (size_t)(end - text), name, strlen(name));
    return found ? strtoul(found + strlen(name), NULL, 10) : otherwise;
}

static bool has_true(const char *body, size_t size, const char *key) {
    const char *found = memmem(body, size, key, strlen(key));
    if (!found) return false;
    for (found += strlen(key); *found == ' ' || *found == ':'; found++) {}
    return !strncmp(found, "true", 4);
}

static struct shape shape_of(const char *body, size_t size) {
    struct shape shape = {.reply = sizeof SENTENCE - 1, .chunks = DEFAULT_CHUNKS};
    const char *asked = memmem(body, size, "mock:", 5);
    if (asked) {
        const char *end = memchr(asked, '"', (size_t)(body + size - asked));
        if (!end) end = body + size;
        shape.reply = number_after(asked, end, "reply=", shape.reply);
        shape.chunks = (int)number_after(asked, end, "chunks=", (size_t)shape.chunks);
        shape.gap_us = number_after(asked, end, "gap_us=", 0);
    }
    shape.stream = has_true(body, size, "\"stream\"");
    shape.with_usage = shape.stream && has_true(body, size, "\"include_usage\"");
    return shape;
}

static bool answer(int fd, const char *body, size_t size) {
    struct shape shape = shape_of(body, size);
    if (shape.stream) return start_stream(fd, &shape);
    if (shape.reply != json_answer_reply) build_json_answer(shape.reply);
    return write_all(fd, json_answer, json_answer_size);
}

/* The size of the first whole request in the input, 0 when it is not whole yet; sets where its body begins. */
static size_t whole_request(const struct connection *connection, size_t *body_at) {
    const char *input = connection->input;
    const char *blank = memmem(input, connection->filled, "\r\n\r\n", 4);
    if (!blank) return 0;
    *body_at = (size_t)(blank - input) + 4;
    size_t length = 0;
    for (const char *line = strchr(input, '\n') + 1; line < blank; line = strchr(line, '\n') + 1) {
        if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) {
            const char *last = memmem(blank, connection->filled - (size_t)(blank - input), "\r\n0\r\n\r\n", 7);
            return last ? (size_t)(last - input) + 7 : 0;
        }
    }
    return connection->filled >= *body_at + length ? *body_at + length : 0;
}

static bool answer_whole_requests(int fd) {
    struct connection *connection = &connections[fd];
    size_t body_at = 0, size;
    while (connection->filled && (size = whole_request(connection, &body_at))) {
        if (!answer(fd, connection->input + body_at, size - body_at)) return false;
        connection->filled -= size;
        memmove(connection->input, connection->input + size, connection->filled);
        connection->input[connection->filled] = 0;
    }
    return true;
}

static void on_readable(int fd) {
    struct connection *connection = &connections[fd];
    for (;;) {
        size_t room = INPUT_BYTES - connection->filled - 1;
        ssize_t got = room ? read_some(fd, connection->input + connection->filled, room) : -1;
        if (got < 0) {
            hang_up(fd);
            return;
        }
        if (got == 0) return;
        connection->filled += (size_t)got;
        connection->input[connection->filled] = 0;
        if (!answer_whole_requests(fd)) {
            hang_up(fd);
            return;
        }
        if (!connection->tls && (size_t)got < room) return; /* saves the read that would say EAGAIN */
    }
}

/* ---- listening ----------------------------------------------------------------------------------------------- */

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int listener) {
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        struct connection *connection = &connections[fd];
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (!connection->input) connection->input = malloc(INPUT_BYTES);
        connection->open = true;
        connection->filled = 0;
#ifdef WITH_TLS
        if (tls_context) {
            connection->tls = SSL_new(tls_context);
            SSL_set_fd(connection->tls, fd);
            SSL_set_accept_state(connection->tls);
        }
#endif
        watch(fd);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) {
        perror("mock: listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void use_tls(const char *certificate, const char *key) {
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "mock: cannot use %s and %s\n", certificate, key);
        exit(1);
    }
#else
    fprintf(stderr, "mock: compiled without TLS: %s and %s are of no use\n", certificate, key);
    exit(1);
#endif
}

int main(int count, char **arguments) {
    if (count != 2 && count != 4) {
        fprintf(stderr, "usage: mock PORT [CERTIFICATE KEY]\n");
        return 2;
    }
    if (count == 4) use_tls(arguments[2], arguments[3]);
    build_stream_frames();
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(timer);
    int listener = listen_on(atoi(arguments[1]));
    watch(listener);
    struct epoll_event events[256];
    bool busy_poll = getenv("BUSY_POLL") != NULL;
    uint64_t active_us = 0;
    for (;;) {
        bool awake = busy_poll && now_us() - active_us < AWAKE_US;
        int ready = epoll_wait(poller, events, 256, awake ? 0 : -1);
        if (ready == 0) sched_yield();
        else active_us = now_us();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            uint64_t expirations;
            if (fd == listener) accept_all(listener);
            else if (fd != timer) {
                if (connections[fd].open) on_readable(fd);
            } else if (read(timer, &expirations, sizeof expirations) > 0) send_due_events();
        }
    }
}
