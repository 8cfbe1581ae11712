/* A load generator: keep-alive connections in a closed loop, one request in flight on each. Prints one JSON line.
 *
 *     load [--header 'NAME: VALUE']... --body FILE --connections N (--seconds S | --requests N) PORT PATH
 *
 * Where the body has `user-00000000`, the digits count up, so that no two requests in a row are alike. Answers are
 * parsed as far as framing goes (length, chunked, until close); latency runs from the write of a request to the last
 * byte of its answer. When the time is up nothing new is begun and what is in flight is waited for, so that the CPU
 * time a server spent belongs to the requests counted. One thread, epoll.
 *
 * With BUSY_POLL in the environment it never sleeps but yields the core: a server that wakes a sleeping neighbour on
 * another core pays for the interrupt, which no server pays whose callers and upstreams are on other machines.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 * 1024,
    HEAD_BYTES = 16 * 1024,
    REQUEST_BYTES = 256 * 1024,
    USERS = 100000,
    COUNTER_DIGITS = 8,
    EXCERPT_BYTES = 400,
    DRAIN_SECONDS = 60,
};

enum state { IDLE, HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, TRAILER, UNTIL_CLOSE };

struct connection {
    int fd;
    enum state state;
    char head[HEAD_BYTES]; /* the answer's head; later the line of a chunk's size */
    size_t head_size;
    uint64_t left; /* bytes of the body, or of the chunk and its line break, still to come */
    int status;
    bool close_after;
    uint64_t sent_ns, first_byte_ns;
};

struct samples {
    uint64_t *values;
    size_t count, room;
};

static struct sockaddr_in target;
static int poller;
static char request[REQUEST_BYTES];
static size_t request_size;
static char *user_digits; /* inside `request` */
static uint64_t sequence;
static struct samples latencies, first_bytes;
static uint64_t errors, refused, bytes_read, reads;
static char excerpt[EXCERPT_BYTES]; /* the first refused answer */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void add_sample(struct samples *samples, uint64_t value) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 1 << 20;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
    }
    samples->values[samples->count++] = value;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static void number_user(void) {
    uint64_t number = sequence++ % USERS;
    for (int i = COUNTER_DIGITS - 1; i >= 0; i--, number /= 10) user_digits[i] = (char)('0' + number % 10);
}

static void open_connection(struct connection *connection) {
    int yes = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->fd, (struct sockaddr *)&target, sizeof target)) {
        perror("load: connect");
        exit(1);
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
    connection->state = IDLE;
}

static void reopen(struct connection *connection) {
    close(connection->fd);
    open_connection(connection);
}

static void send_request(struct connection *connection) {
    if (user_digits) number_user();
    connection->state = HEAD;
    connection->head_size = 0;
    connection->first_byte_ns = 0;
    connection->sent_ns = now_ns();
    for (size_t sent = 0; sent < request_size;) {
        ssize_t wrote = send(connection->fd, request + sent, request_size - sent, MSG_NOSIGNAL);
        if (wrote < 0) break; /* the answer, or its absence, tells */
        sent += (size_t)wrote;
    }
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void keep_excerpt(const struct connection *connection, const char *body, size_t size) {
    size_t at = 0;
    for (size_t i = 0; i < connection->head_size + size && at < EXCERPT_BYTES - 1; i++) {
        char letter = i < connection->head_size ? connection->head[i] : body[i - connection->head_size];
        excerpt[at++] = letter < ' ' || letter == '"' || letter == '\\' ? ' ' : letter;
    }
}

/* Reads the head's framing; `body` is what came with it. */
static void begin_body(struct connection *connection, const char *body, size_t size) {
    connection->head[connection->head_size] = 0;
    connection->status = atoi(connection->head + 9);
    const char *length = strcasestr(connection->head, "\ncontent-length:");
    connection->close_after = strcasestr(connection->head, "\nconnection: close") != NULL;
    if (connection->status / 100 != 2 && refused++ == 0) keep_excerpt(connection, body, size);
    if (strcasestr(connection->head, "\ntransfer-encoding: chunked")) {
        connection->state = CHUNK_SIZE;
        connection->head_size = 0;
    } else if (length) {
        connection->state = LENGTH;
        connection->left = strtoull(length + 16, NULL, 10);
    } else {
        connection->state = UNTIL_CLOSE;
    }
}

static void end_answer(struct connection *connection) {
    connection->state = IDLE;
    add_sample(&latencies, now_ns() - connection->sent_ns);
    add_sample(&first_bytes, connection->first_byte_ns - connection->sent_ns);
}

/* Takes bytes of a line into `head`; returns how many, and whether the line ended. */
static size_t take_line(struct connection *connection, const char *bytes, size_t size, bool *ended) {
    const char *newline = memchr(bytes, '\n', size);
    size_t taken = newline ? (size_t)(newline - bytes) + 1 : size;
    for (size_t i = 0; i < taken && connection->head_size < HEAD_BYTES - 1; i++)
        connection->head[connection->head_size++] = bytes[i];
    *ended = newline != NULL;
    return taken;
}

static size_t take_head(struct connection *connection, const char *bytes, size_t size) {
    bool ended = false;
    size_t before = connection->head_size, taken = take_line(connection, bytes, size, &ended);
    size_t line_size = connection->head_size;
    if (ended && line_size >= 4 && !memcmp(connection->head + line_size - 4, "\r\n\r\n", 4))
        begin_body(connection, bytes + taken, size - taken);
    else if (connection->head_size == before) connection->head_size = 0; /* a head beyond all bounds is not parsed */
    return taken;
}

static size_t take_chunk_size(struct connection *connection, const char *bytes, size_t size) {
    bool ended;
    size_t taken = take_line(connection, bytes, size, &ended);
    if (ended) {
        connection->head[connection->head_size] = 0;
        uint64_t chunk = strtoull(connection->head, NULL, 16);
        connection->head_size = 0;
        connection->left = chunk + 2;
        connection->state = chunk ? CHUNK_DATA : TRAILER;
    }
    return taken;
}

static size_t take_trailer(struct connection *connection, const char *bytes, size_t size) {
    bool ended;
    size_t taken = take_line(connection, bytes, size, &ended);
    if (ended) {
        bool blank = connection->head_size <= 2;
        connection->head_size = 0;
        if (blank) end_answer(connection);
    }
    return taken;
}

static size_t take_body(struct connection *connection, size_t size) {
    size_t taken = size < connection->left ? size : (size_t)connection->left;
    connection->left -= taken;
    if (connection->left == 0) {
        if (connection->state == LENGTH) end_answer(connection);
        else connection->state = CHUNK_SIZE;
    }
    return taken;
}

static void take(struct connection *connection, const char *bytes, size_t size) {
    while (size && connection->state != IDLE) {
        size_t taken = size;
        switch (connection->state) {
        case HEAD: taken = take_head(connection, bytes, size); break;
        case CHUNK_SIZE: taken = take_chunk_size(connection, bytes, size); break;
        case TRAILER: taken = take_trailer(connection, bytes, size); break;
        case LENGTH:
        case CHUNK_DATA: taken = take_body(connection, size); break;
        case UNTIL_CLOSE:
        case IDLE: break;
        }
        bytes += taken;
        size -= taken;
    }
}

/* Reads what there is; returns true when the connection is free for the next request. */
static bool on_readable(struct connection *connection) {
    static char buffer[READ_BYTES];
    ssize_t got = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) {
        if (connection->state == UNTIL_CLOSE && got == 0) end_answer(connection);
        else if (connection->state != IDLE) errors++;
        reopen(connection);
        return true;
    }
    if (connection->state == IDLE) return false; /* bytes nobody asked for: the next answer will not parse */
    if (!connection->first_byte_ns) connection->first_byte_ns = now_ns();
    bytes_read += (uint64_t)got;
    reads++;
    take(connection, buffer, (size_t)got);
    if (connection->state != IDLE) return false;
    if (connection->close_after) reopen(connection);
    return true;
}

/* ---- the run ------------------------------------------------------------------------------------------------- */

static int ascending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double quantile_us(const struct samples *samples, double share) {
    return samples->count ? (double)samples->values[(size_t)((double)(samples->count - 1) * share)] / 1e3 : 0;
}

static void print_result(double seconds) {
    size_t count = latencies.count;
    qsort(latencies.values, count, sizeof(uint64_t), ascending);
    qsort(first_bytes.values, count, sizeof(uint64_t), ascending);
    printf("{\"requests\":%zu,\"seconds\":%.6f,\"rps\":%.1f,\"errors\":%lu,\"refused\":%lu,"
           "\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.2f,"
           "\"first_byte_p50_us\":%.2f,\"first_byte_p99_us\":%.2f,"
           "\"bytes_per_answer\":%.0f,\"reads_per_answer\":%.2f,\"excerpt\":\"%s\"}\n",
           count, seconds, (double)count / seconds, (unsigned long)errors, (unsigned long)refused,
           quantile_us(&latencies, .5), quantile_us(&latencies, .9), quantile_us(&latencies, .99),
           quantile_us(&latencies, 1), quantile_us(&first_bytes, .5), quantile_us(&first_bytes, .99),
           count ? (double)bytes_read / (double)count : 0, count ? (double)reads / (double)count : 0, excerpt);
}

static void run(int count, double seconds, uint64_t requests) {
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    struct epoll_event events[512];
    bool busy_poll = getenv("BUSY_POLL") != NULL;
    poller = epoll_create1(0);
    for (int i = 0; i < count; i++) open_connection(&connections[i]);
    uint64_t began = now_ns(), now = began, begun = 0;
    uint64_t until = seconds > 0 ? began + (uint64_t)(seconds * 1e9) : UINT64_MAX - DRAIN_SECONDS * 1000000000ull;
    for (int i = 0; i < count && begun < requests; i++, begun++) send_request(&connections[i]);
    while (latencies.count + errors < begun && now < until + DRAIN_SECONDS * 1000000000ull) {
        int ready = epoll_wait(poller, events, 512, busy_poll ? 0 : 50);
        now = now_ns();
        if (busy_poll && ready == 0) sched_yield();
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (on_readable(connection) && now < until && begun < requests) {
                send_request(connection);
                begun++;
            }
        }
    }
    errors += begun - errors - latencies.count; /* never answered */
    now = now_ns();
    print_result((double)(now - began) / 1e9);
}

static void read_body(const char *path, const char *headers, int port, const char *url) {
    static char body[REQUEST_BYTES / 2];
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    size_t size = fread(body, 1, sizeof body, file);
    fclose(file);
    request_size = (size_t)snprintf(request, sizeof request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        "User-Agent: load/1\r\n%sContent-Length: %zu\r\n\r\n", url, port, headers, size);
    memcpy(request + request_size, body, size);
    request_size += size;
    user_digits = memmem(request, request_size, "user-00000000", 13);
    if (user_digits) user_digits += 5;
}

static int misused(void) {
    fprintf(stderr, "usage: load [--header 'NAME: VALUE']... --body FILE --connections N "
                    "(--seconds S | --requests N) PORT PATH\n");
    return 2;
}

int main(int count, char **arguments) {
    static const struct option options[] = {
        {"header", required_argument, NULL, 'h'},   {"body", required_argument, NULL, 'b'},
        {"connections", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'}, {0},
    };
    static char headers[8192];
    const char *body = NULL;
    int connections = 1, option;
    double seconds = 0;
    uint64_t requests = UINT64_MAX;
    while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
        size_t used = strlen(headers);
        if (option == 'h') snprintf(headers + used, sizeof headers - used, "%s\r\n", optarg);
        else if (option == 'b') body = optarg;
        else if (option == 'c') connections = atoi(optarg);
        else if (option == 's') seconds = atof(optarg);
        else if (option == 'r') requests = strtoull(optarg, NULL, 10);
        else return misused();
    }
    if (count - optind != 2 || !body || connections < 1 || (seconds <= 0 && requests == UINT64_MAX)) return misused();
    int port = atoi(arguments[optind]);
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_body(body, headers, port, arguments[optind + 1]);
    run(connections, seconds, requests);
}
