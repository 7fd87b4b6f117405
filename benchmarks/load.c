/* A load generator for WebSocket echo servers: one thread, epoll, libc and zlib.
 *
 * In:  where the server listens, how many connections, how many messages in flight on each, their size and opcode.
 * Out: one line of JSON on stdout; on stderr what the server did wrong.  Exit code 0 only if it did nothing wrong.
 *
 * Every byte the server sends is checked.  All frames are built before the clock starts: the traffic is a ring of a few
 * different messages, once as masked frames to send and once as the frames the server must answer with.  Sending k messages
 * is one write of the next bytes of the first ring, and checking what one recv brought is a memcmp with the second, however
 * the bytes were split.  So the generator stays cheaper than any server it measures.
 *
 * With --deflate the messages are JSON.  They are deflated before the clock starts too, each by itself, so that they can be
 * sent in any order.  What comes back depends on what the server has deflated before, and is inflated to be checked.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "handshake.h"

enum { OPCODE_TEXT = 0x1, OPCODE_BINARY = 0x2, OPCODE_CLOSE = 0x8, OPCODE_PING = 0x9, OPCODE_PONG = 0xa };
enum { FIN = 0x80, RSV1 = 0x40, MASKED = 0x80, MASKING_KEY_LENGTH = 4, MAX_CONTROL_PAYLOAD = 125 };

#define CONNECT_WINDOW 32              /* handshakes at a time while opening: well below every server's listen backlog */
#define MAX_HEAD 16384                 /* bytes of a response's head: what most HTTP servers bound a request's head to */
#define RING_BYTES 65536               /* small messages: as many different ones as fit here, so the ring stays in the cache */
#define MAX_VARIANTS 64                /* ... but no more than this, and at least two, so that a swapped reply is seen */
#define READ_BYTES (256 * 1024)        /* the most one recv takes */
#define MAX_IOVECS 64                  /* pieces of the ring in one write */
#define OPENING_TIMEOUT 30000000000ull /* nanoseconds without any progress while connections open */
#define CLOSING_TIMEOUT 5000000000ull  /* nanoseconds that idle connections get to finish their closing handshake */
#define LEAST_ROUNDS 4                 /* replies on each connection, on average, for as many messages in flight */
#define LONGEST 10                     /* times the measured time, for a server that is too slow for that many */
#define JOINING_SECONDS 0.3            /* until a server has everybody on its list to whom it broadcasts */
#define REPORTED_ERRORS 5              /* further ones are counted only */

enum mode { MODE_ECHO, MODE_HANDSHAKES, MODE_IDLE, MODE_BROADCAST };

static struct {
    enum mode mode;
    const char *host, *port, *path;
    unsigned connections, in_flight;
    size_t size;
    unsigned char opcode;
    bool deflate;
    double seconds, warmup;
    pid_t server_pid;
    char headers[4096];
} options = {.host = "127.0.0.1", .path = "/", .connections = 64, .in_flight = 1, .size = 125, .opcode = OPCODE_TEXT,
             .seconds = 5, .warmup = 1};

enum state { CLOSED, FAILED, CONNECTING, HANDSHAKING, OPEN, CLOSING };

struct connection {
    int fd;
    enum state state;
    bool waits_to_write;           /* EPOLLOUT is set */
    uint64_t connected_at;         /* when connect() was called: the start of a handshake's latency */
    char key[KEY_LENGTH + 1];      /* Sec-WebSocket-Key */
    char *head;                    /* the response's head so far; NULL once it is complete */
    size_t head_length;
    size_t request_at, reply_at;   /* where in the two rings the next byte is */
    size_t unsent;                 /* bytes of the request ring still to be written */
    unsigned in_flight;            /* messages without an answer */
    uint64_t *sent_at;             /* a queue of their times, in_flight long, from `oldest` on */
    unsigned oldest;
    uint64_t replies;              /* counted in the measured time */
    unsigned char control[2 + MAX_CONTROL_PAYLOAD]; /* a control frame being received */
    size_t control_length;
    unsigned char answer[2 + MASKING_KEY_LENGTH + MAX_CONTROL_PAYLOAD]; /* a control frame to be sent */
    size_t answer_length, answer_sent;
    unsigned char *inbox; /* with --deflate: the beginning of a frame */
    size_t inbox_length;
    z_stream *inflater;
};

/* The traffic: `variants` frames one after another, as sent and as expected.  With --deflate the latter are only payloads. */
static struct {
    size_t variants, request_length, reply_length, header_length;
    unsigned char *requests, *replies;
} ring;

static unsigned char *inflated; /* one message, and room for a byte too many */
static size_t inbox_size;       /* of the longest frame that a server may send with --deflate */

#define SUB_BUCKETS 64 /* per power of two: percentiles are exact to 1/64 */
#define SUB_BITS 6

static struct {
    uint64_t completed; /* messages, or handshakes */
    uint64_t slowest;
    uint64_t buckets[(64 - SUB_BITS + 1) * SUB_BUCKETS]; /* latencies in nanoseconds */
} measured;

static struct connection *connections;
static int epoll_fd;
static struct addrinfo *address;
static unsigned started, opening, live; /* connections: begun, on their way, not failed */
static unsigned awaited;                /* connections that the broadcast message has not reached */
static uint64_t errors, pings;
static uint64_t last_progress;

/* ---- small helpers ------------------------------------------------------------------------------------------------- */

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) die("out of memory");
    return memory;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) return 0;
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* The CPU time of the whole server process, threads included; 0 when no pid was given. */
static uint64_t server_cpu_ns(void) {
    clockid_t clock;
    if (!options.server_pid || clock_getcpuclockid(options.server_pid, &clock)) return 0;
    return clock_ns(clock);
}

/* splitmix64: masking keys and handshake keys need variety here, not secrecy. */
static uint64_t random_bits(void) {
    static uint64_t state;
    if (!state && getrandom(&state, sizeof state, 0) != sizeof state) die("getrandom: %s", strerror(errno));
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* ---- latencies: a histogram with 64 buckets for each power of two ---------------------------------------------------- */

static size_t bucket_of(uint64_t value) {
    if (value < SUB_BUCKETS) return value;
    int exponent = 63 - __builtin_clzll(value);
    return (size_t)(exponent - SUB_BITS + 1) * SUB_BUCKETS + (value >> (exponent - SUB_BITS)) % SUB_BUCKETS;
}

/* The least value that falls into a bucket. */
static uint64_t value_of(size_t bucket) {
    if (bucket < SUB_BUCKETS) return bucket;
    return (SUB_BUCKETS + bucket % SUB_BUCKETS) << (bucket / SUB_BUCKETS - 1);
}

static void record_latency(uint64_t latency) {
    measured.completed++;
    measured.buckets[bucket_of(latency)]++;
    if (latency > measured.slowest) measured.slowest = latency;
}

static double percentile_us(double fraction) {
    uint64_t wanted = (uint64_t)((double)measured.completed * fraction), seen = 0;
    for (size_t bucket = 0; bucket < sizeof measured.buckets / sizeof *measured.buckets; bucket++) {
        seen += measured.buckets[bucket];
        if (seen > wanted) return (double)value_of(bucket) / 1e3;
    }
    return (double)measured.slowest / 1e3;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* 5.2: "The length of the "Payload data" [...] the minimal number of bytes MUST be used to encode the length". */
static size_t write_header(unsigned char *out, unsigned char opcode, uint64_t length, bool masked) {
    unsigned char *start = out;
    unsigned char mask_bit = masked ? MASKED : 0;
    int extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
    *out++ = FIN | opcode;
    *out++ = mask_bit | (extended == 0 ? (unsigned char)length : extended == 2 ? 126 : 127);
    for (int byte = extended - 1; byte >= 0; byte--) *out++ = (unsigned char)(length >> (8 * byte));
    return (size_t)(out - start);
}

static size_t write_masked(unsigned char *out, unsigned char opcode, const unsigned char *payload, size_t length) {
    unsigned char masking_key[MASKING_KEY_LENGTH];
    uint64_t bits = random_bits();
    memcpy(masking_key, &bits, sizeof masking_key);
    size_t at = write_header(out, opcode, length, true);
    memcpy(out + at, masking_key, sizeof masking_key);
    at += sizeof masking_key;
    for (size_t i = 0; i < length; i++) out[at + i] = payload[i] ^ masking_key[i % 4];
    return at + length;
}

/* Neighbouring bytes and neighbouring messages differ, and no byte repeats every 2, 4 or 8 bytes: a key that is rotated, a
 * chunk that is moved or a reply that is swapped with another is seen. */
static unsigned char payload_byte(size_t variant, size_t i) {
    if (options.opcode == OPCODE_TEXT) return (unsigned char)(' ' + (i * 7 + i / 95 + variant * 31) % 95);
    return (unsigned char)(i * 131 + i / 256 * 17 + variant * 37);
}

/* A ring of zeros whose frames are as long as these. */
static void allocate_ring(size_t request_length, size_t reply_length) {
    ring.request_length = request_length;
    ring.reply_length = reply_length;
    ring.variants = RING_BYTES / request_length;
    if (ring.variants < 2) ring.variants = 2;
    if (ring.variants > MAX_VARIANTS) ring.variants = MAX_VARIANTS;
    ring.requests = allocate(ring.variants, request_length);
    ring.replies = allocate(ring.variants, reply_length);
}

static void build_ring(void) {
    unsigned char header[10];
    ring.header_length = write_header(header, options.opcode, options.size, false);
    size_t reply_length = ring.header_length + options.size;
    allocate_ring(reply_length + MASKING_KEY_LENGTH, reply_length);

    for (size_t variant = 0; variant < ring.variants; variant++) {
        unsigned char *reply = ring.replies + variant * ring.reply_length;
        memcpy(reply, header, ring.header_length);
        unsigned char *payload = reply + ring.header_length;
        for (size_t i = 0; i < options.size; i++) payload[i] = payload_byte(variant, i);
        write_masked(ring.requests + variant * ring.request_length, options.opcode, payload, options.size);
    }
}

/* ---- permessage-deflate, RFC 7692 ------------------------------------------------------------------------------------ */

/* Records as a web service might send them, padded with spaces to the size. */
static void write_json(unsigned char *out, size_t size) {
    size_t at = 0;
    out[at++] = '[';
    for (;;) {
        char record[128];
        uint64_t bits = random_bits();
        int length = snprintf(record, sizeof record,
                              "%s{\"id\": %06u, \"symbol\": \"%c%c%c\", \"price\": %03u.%02u, \"active\": %s}",
                              at > 1 ? ", " : "", (unsigned)(bits % 1000000), 'A' + (int)(bits >> 20 & 15),
                              'A' + (int)(bits >> 24 & 15), 'A' + (int)(bits >> 28 & 15), (unsigned)(bits >> 32) % 1000,
                              (unsigned)(bits >> 48) % 100, bits >> 63 ? " true" : "false");
        if (at + (size_t)length + 1 > size) break;
        memcpy(out + at, record, (size_t)length);
        at += (size_t)length;
    }
    memset(out + at, ' ', size - at);
    out[size - 1] = ']';
}

/* 7.2.1: deflate, end with an empty stored block, and "remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end". */
static size_t deflate_message(z_stream *deflater, unsigned char *out, size_t room, unsigned char *message, size_t length) {
    deflateReset(deflater);
    deflater->next_in = message;
    deflater->avail_in = (uInt)length;
    deflater->next_out = out;
    deflater->avail_out = (uInt)room;
    if (deflate(deflater, Z_SYNC_FLUSH) != Z_OK || !deflater->avail_out) die("deflate failed");
    return room - deflater->avail_out - 4;
}

/* All messages deflate to as many bytes as the first, so that the ring is as regular as without --deflate. */
static void build_deflated_ring(void) {
    z_stream deflater = {0};
    if (options.size < 2) die("JSON has at least 2 bytes");
    if (deflateInit2(&deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("deflateInit2 failed");
    size_t room = deflateBound(&deflater, options.size) + 64, wanted = 0, variant = 0;
    unsigned char *message = allocate(1, options.size), *deflated = allocate(1, room), *frame = allocate(1, room + 14);
    for (unsigned tries = 0; !wanted || variant < ring.variants; tries++) {
        if (tries == 1000000) die("too few different messages of %zu bytes deflate to the same length", options.size);
        write_json(message, options.size);
        size_t length = deflate_message(&deflater, deflated, room, message, options.size);
        if (wanted && length != wanted) continue;
        size_t frame_length = write_masked(frame, RSV1 | options.opcode, deflated, length);
        if (!wanted) allocate_ring(frame_length, options.size);
        wanted = length;
        memcpy(ring.requests + variant * ring.request_length, frame, frame_length);
        memcpy(ring.replies + variant * ring.reply_length, message, options.size);
        variant++;
    }
    deflateEnd(&deflater);
    free(message), free(deflated), free(frame);
    inflated = allocate(1, options.size + 1);
    inbox_size = room + 14 + READ_BYTES;
}

/* ---- a connection's life --------------------------------------------------------------------------------------------- */

/* Has it a socket? */
static bool is_alive(const struct connection *connection) { return connection->state >= CONNECTING; }

static void watch(struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void end(struct connection *connection) {
    if (connection->state == CONNECTING || connection->state == HANDSHAKING) opening--;
    close(connection->fd);
    free(connection->head);
    free(connection->inbox);
    if (connection->inflater) inflateEnd(connection->inflater);
    free(connection->inflater);
    connection->head = NULL;
    connection->inbox = NULL;
    connection->inflater = NULL;
    connection->state = CLOSED;
}

/* The server has done something wrong: count it, say what, and go on without this connection. */
static void fail(struct connection *connection, const char *format, ...) {
    if (++errors <= REPORTED_ERRORS) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(stderr, "load: connection %td: ", connection - connections);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
    end(connection);
    connection->state = FAILED;
    live--;
}

static void start(struct connection *connection) {
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket: %s (connections are bounded by `ulimit -n`)", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->fd = fd;
    connection->state = CONNECTING;
    connection->waits_to_write = true;
    connection->connected_at = now_ns();
    connection->control_length = connection->answer_length = connection->answer_sent = 0;
    opening++;
    watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
    if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS)
        fail(connection, "cannot connect: %s", strerror(errno));
}

/* Opens the connections not yet begun, a few at a time, so that no listen backlog overflows. */
static void start_more(void) {
    while (started < options.connections && opening < CONNECT_WINDOW) start(&connections[started++]);
}

static void request_upgrade(struct connection *connection) {
    int error = 0;
    socklen_t error_length = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &error_length);
    if (error) {
        fail(connection, "cannot connect: %s", strerror(error));
        return;
    }

    uint64_t nonce[2] = {random_bits(), random_bits()};
    base64((unsigned char *)nonce, sizeof nonce, connection->key);
    char request[8192];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                          options.path, options.host, options.port, connection->key, options.headers);
    if (length >= (int)sizeof request) die("path and headers are too long");
    /* A fresh socket's send buffer always has room for a head. */
    if (send(connection->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        fail(connection, "cannot send the request: %s", strerror(errno));
        return;
    }
    connection->state = HANDSHAKING;
    connection->head = allocate(1, MAX_HEAD + 1);
    connection->head_length = 0;
    connection->waits_to_write = false;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

/* The value of a header in a zero-terminated head, without the spaces around it; false when there is none. */
static bool find_header(const char *head, const char *name, char *value, size_t size) {
    size_t name_length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_length) || line[2 + name_length] != ':') continue;
        const char *from = line + 2 + name_length + 1;
        from += strspn(from, " \t");
        size_t length = strcspn(from, "\r\n");
        while (length && (from[length - 1] == ' ' || from[length - 1] == '\t')) length--;
        snprintf(value, size, "%.*s", (int)length, from);
        return true;
    }
    return false;
}

/* 4.1, what the client checks in the server's response, in its order.  NULL when all is well. */
static const char *fault_in_head(struct connection *connection) {
    char value[256], accept[ACCEPT_LENGTH + 1];
    const char *head = connection->head;
    if (strncmp(head, "HTTP/1.1 101", 12)) return "the status is not 101";
    if (!find_header(head, "Upgrade", value, sizeof value) || strcasecmp(value, "websocket"))
        return "the Upgrade header is not 'websocket'";
    if (!find_header(head, "Connection", value, sizeof value) || !strcasestr(value, "upgrade"))
        return "the Connection header is without 'Upgrade'";
    accept_for_key(connection->key, accept);
    if (!find_header(head, "Sec-WebSocket-Accept", value, sizeof value) || strcmp(value, accept))
        return "Sec-WebSocket-Accept does not answer the key";
    bool extended = find_header(head, "Sec-WebSocket-Extensions", value, sizeof value) && *value;
    if (extended && !options.deflate) return "an extension that nobody offered is in use";
    if (options.deflate && (!extended || strncmp(value, "permessage-deflate", 18))) return "permessage-deflate is not in use";
    return NULL;
}

static void flush(struct connection *connection);

static void send_control(struct connection *connection, unsigned char opcode, const unsigned char *payload, size_t length) {
    /* 5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to previous Ping frame(s),
     * the endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame."  Only one that has begun
     * to leave must be finished. */
    if (connection->answer_sent) return;
    connection->answer_length = write_masked(connection->answer, opcode, payload, length);
}

static void begin_close(struct connection *connection) {
    static const unsigned char normal_closure[] = {1000 >> 8, 1000 & 0xff};
    connection->state = CLOSING;
    send_control(connection, OPCODE_CLOSE, normal_closure, sizeof normal_closure);
    flush(connection);
}

/* ---- sending --------------------------------------------------------------------------------------------------------- */

/* Describes the next `length` bytes of the request ring, as far as the vectors reach. */
static int gather(struct connection *connection, size_t length, struct iovec *vectors) {
    size_t ring_length = ring.variants * ring.request_length, at = connection->request_at;
    int count = 0;
    for (; length && count < MAX_IOVECS; count++) {
        size_t piece = length < ring_length - at ? length : ring_length - at;
        vectors[count] = (struct iovec){ring.requests + at, piece};
        at = (at + piece) % ring_length;
        length -= piece;
    }
    return count;
}

static ssize_t write_messages(struct connection *connection, size_t length) {
    struct iovec vectors[MAX_IOVECS];
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)gather(connection, length, vectors)};
    ssize_t written = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    if (written > 0) {
        connection->unsent -= (size_t)written;
        connection->request_at = (connection->request_at + (size_t)written) % (ring.variants * ring.request_length);
    }
    return written;
}

static ssize_t write_answer(struct connection *connection) {
    ssize_t written = send(connection->fd, connection->answer + connection->answer_sent,
                           connection->answer_length - connection->answer_sent, MSG_NOSIGNAL);
    if (written > 0) connection->answer_sent += (size_t)written;
    if (connection->answer_sent == connection->answer_length) connection->answer_sent = connection->answer_length = 0;
    return written;
}

/* Writes what the kernel takes; a control frame goes between two messages, never into one. */
static void flush(struct connection *connection) {
    ssize_t written = 0;
    while (connection->unsent || connection->answer_length) {
        size_t begun = connection->request_at % ring.request_length;
        if (!connection->answer_length) written = write_messages(connection, connection->unsent);
        else if (begun) written = write_messages(connection, ring.request_length - begun);
        else written = write_answer(connection);
        if (written < 0) break;
    }
    if (written < 0 && errno != EAGAIN) {
        /* A server may close at once when it has our Close frame; what it sent before is still to be read. */
        if (connection->state != CLOSING) fail(connection, "cannot send: %s", strerror(errno));
        return;
    }
    bool waits_to_write = connection->unsent || connection->answer_length;
    if (waits_to_write != connection->waits_to_write) {
        connection->waits_to_write = waits_to_write;
        watch(connection, EPOLL_CTL_MOD, waits_to_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

/* Sends `count` messages, all in one write as long as the kernel has room. */
static void send_messages(struct connection *connection, unsigned count, uint64_t now) {
    for (unsigned i = 0; i < count; i++)
        connection->sent_at[(connection->oldest + connection->in_flight++) % options.in_flight] = now;
    connection->unsent += count * ring.request_length;
    flush(connection);
}

/* ---- receiving ------------------------------------------------------------------------------------------------------- */

static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t length) {
    if (!memcmp(a, b, length)) return length;
    size_t at = 0;
    while (a[at] == b[at]) at++;
    return at;
}

static void report_difference(struct connection *connection, unsigned char received) {
    size_t at = connection->reply_at % ring.reply_length;
    unsigned char expected = ring.replies[connection->reply_at];
    const char *part = at == 0 ? "first byte (fin, rsv, opcode)" : at < ring.header_length ? "length" : "payload";
    size_t index = at < ring.header_length ? at : at - ring.header_length;
    fail(connection, "wrong %s of a reply: byte %zu is 0x%02x instead of 0x%02x", part, index, received, expected);
}

/* A complete control frame from the server: answers a ping, ends the connection on a close. */
static void handle_control(struct connection *connection) {
    const unsigned char *payload = connection->control + 2;
    size_t length = connection->control[1];
    unsigned char opcode = connection->control[0] & 0x0f;
    if (opcode == OPCODE_PING) {
        pings++;
        send_control(connection, OPCODE_PONG, payload, length);
        flush(connection);
    } else if (opcode == OPCODE_CLOSE && connection->state == CLOSING) {
        end(connection);
    } else if (opcode == OPCODE_CLOSE) {
        int code = length >= 2 ? payload[0] << 8 | payload[1] : 1005;
        fail(connection, "the server closed the connection with code %d '%.*s'", code, length >= 2 ? (int)length - 2 : 0,
             payload + 2);
    }
}

/* Collects the bytes of a control frame, which may come in pieces.  Returns how many it took. */
static size_t receive_control(struct connection *connection, const unsigned char *data, size_t length) {
    size_t taken = 0;
    while (taken < length) {
        connection->control[connection->control_length++] = data[taken++];
        if (connection->control_length < 2) continue;
        if (connection->control[1] > MAX_CONTROL_PAYLOAD) {
            fail(connection, "a control frame is masked or longer than 125 bytes");
            return taken;
        }
        if (connection->control_length == 2u + connection->control[1]) {
            connection->control_length = 0;
            handle_control(connection);
            break;
        }
    }
    return taken;
}

static bool is_control(unsigned char first) {
    return first == (FIN | OPCODE_CLOSE) || first == (FIN | OPCODE_PING) || first == (FIN | OPCODE_PONG);
}

/* Compares with the next expected replies up to the ring's end.  Returns how many bytes are as they must be. */
static size_t receive_replies(struct connection *connection, const unsigned char *data, size_t length, unsigned *completed) {
    size_t ring_length = ring.variants * ring.reply_length;
    size_t begun = connection->reply_at % ring.reply_length;
    if (length > ring_length - connection->reply_at) length = ring_length - connection->reply_at;
    size_t equal = first_difference(data, ring.replies + connection->reply_at, length);
    *completed += (unsigned)((begun + equal) / ring.reply_length);
    connection->reply_at = (connection->reply_at + equal) % ring_length;
    return equal;
}

/* The length of the frame at `data`, 0 when not even its header is whole. */
static size_t frame_length(const unsigned char *data, size_t length, size_t *header_length) {
    if (length < 2) return 0;
    size_t extended = data[1] == 127 ? 8 : data[1] == 126 ? 2 : 0, payload = extended ? 0 : data[1];
    *header_length = 2 + extended;
    if (length < *header_length) return 0;
    for (size_t i = 0; i < extended; i++) payload = payload << 8 | data[2 + i];
    return *header_length + payload;
}

/* Inflates one message into `inflated`.  Returns its length; one byte more than expected stands for anything longer. */
static size_t inflate_message(struct connection *connection, const unsigned char *payload, size_t length) {
    static const unsigned char tail[] = {0x00, 0x00, 0xff, 0xff};
    if (!connection->inflater) {
        connection->inflater = allocate(1, sizeof *connection->inflater);
        if (inflateInit2(connection->inflater, -15) != Z_OK) die("inflateInit2 failed");
    }
    z_stream *inflater = connection->inflater;
    const unsigned char *inputs[] = {payload, tail};
    size_t lengths[] = {length, sizeof tail};
    inflater->next_out = inflated;
    inflater->avail_out = (uInt)options.size + 1;
    for (int i = 0; i < 2; i++) {
        inflater->next_in = (unsigned char *)inputs[i];
        inflater->avail_in = (uInt)lengths[i];
        int status = inflate(inflater, Z_SYNC_FLUSH);
        if (status != Z_OK && status != Z_BUF_ERROR) return 0;
    }
    return options.size + 1 - inflater->avail_out;
}

/* One whole frame: a deflated reply, or a control frame. */
static void receive_frame(struct connection *connection, const unsigned char *frame, size_t header_length, size_t length,
                          unsigned *completed) {
    if (is_control(*frame)) {
        memcpy(connection->control, frame, header_length + length);
        handle_control(connection);
        return;
    }
    const unsigned char *payload = frame + header_length, *expected = ring.replies + connection->reply_at;
    if (*frame != (FIN | RSV1 | options.opcode)) {
        fail(connection, "the first byte of a reply is 0x%02x: it is not a whole, deflated message", *frame);
        return;
    }
    length = inflate_message(connection, payload, length);
    if (length != options.size || memcmp(inflated, expected, length)) {
        fail(connection, "a reply of %zu bytes is not what was sent", length);
        return;
    }
    connection->reply_at = (connection->reply_at + ring.reply_length) % (ring.variants * ring.reply_length);
    ++*completed;
}

/* As check, for --deflate. */
static unsigned check_deflated(struct connection *connection, const unsigned char *data, size_t length) {
    unsigned completed = 0;
    if (!connection->inbox) connection->inbox = allocate(1, inbox_size);
    memcpy(connection->inbox + connection->inbox_length, data, length);
    connection->inbox_length += length;
    size_t at = 0, header_length;
    while (is_alive(connection)) {
        const unsigned char *frame = connection->inbox + at;
        size_t left = connection->inbox_length - at, whole = frame_length(frame, left, &header_length);
        if (whole > inbox_size - READ_BYTES || (whole && is_control(*frame) && whole > 2 + MAX_CONTROL_PAYLOAD)) {
            fail(connection, "a frame of %zu bytes", whole);
        } else if (!whole || whole > left) {
            memmove(connection->inbox, frame, left);
            connection->inbox_length = left;
            break;
        } else {
            receive_frame(connection, frame, header_length, whole - header_length, &completed);
            at += whole;
        }
    }
    if (is_alive(connection) && completed > connection->in_flight) fail(connection, "a reply to a message that was not sent");
    return completed;
}

/* Checks what has arrived.  Returns the number of replies that it completes; the connection may have ended afterwards. */
static unsigned check(struct connection *connection, const unsigned char *data, size_t length) {
    unsigned completed = 0;
    if (options.deflate) return check_deflated(connection, data, length);
    while (length && is_alive(connection)) {
        size_t taken = 0;
        if (!connection->control_length) taken = receive_replies(connection, data, length, &completed);
        if (completed > connection->in_flight) {
            fail(connection, "a reply to a message that was not sent");
            break;
        }
        data += taken, length -= taken;
        bool between_frames = connection->reply_at % ring.reply_length == 0;
        if (!length) break;
        if (connection->control_length || (between_frames && is_control(*data))) {
            taken = receive_control(connection, data, length);
            data += taken, length -= taken;
        } else if (*data != ring.replies[connection->reply_at]) {
            report_difference(connection, *data);
        }
    }
    return completed;
}

static void count_replies(struct connection *connection, unsigned count, uint64_t now) {
    for (unsigned i = 0; i < count; i++) {
        record_latency(now - connection->sent_at[connection->oldest]);
        connection->oldest = (connection->oldest + 1) % options.in_flight;
    }
    connection->in_flight -= count;
    connection->replies += count;
}

/* The first connection sends a message that is to come back on all of them. */
static void send_broadcast(uint64_t now) {
    awaited = 0;
    for (unsigned i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[i];
        if (connection->state != OPEN) continue;
        connection->sent_at[0] = now;
        connection->in_flight = 1;
        awaited++;
    }
    connections->unsent += ring.request_length;
    if (connections->state == OPEN) flush(connections);
}

/* One recv, and for the k replies in it k new messages in one write. */
static void take(struct connection *connection, const unsigned char *data, size_t length, uint64_t now) {
    unsigned completed = check(connection, data, length);
    if (connection->state != OPEN || !completed) return;
    count_replies(connection, completed, now);
    if (options.mode != MODE_BROADCAST) send_messages(connection, completed, now);
    else if (!--awaited) send_broadcast(now);
}

static void become_open(struct connection *connection, uint64_t now) {
    connection->state = OPEN;
    opening--;
    if (options.mode == MODE_HANDSHAKES) {
        record_latency(now - connection->connected_at);
        begin_close(connection);
    }
}

static void receive_head(struct connection *connection, const unsigned char *data, size_t length, uint64_t now) {
    if (connection->head_length + length > MAX_HEAD) {
        fail(connection, "the head of the response is longer than %d bytes", MAX_HEAD);
        return;
    }
    size_t before = connection->head_length;
    memcpy(connection->head + before, data, length);
    connection->head_length += length;
    char *end_of_head = memmem(connection->head, connection->head_length, "\r\n\r\n", 4);
    if (!end_of_head) return;

    size_t head_bytes = (size_t)(end_of_head - connection->head) + 4 - before; /* of this piece */
    end_of_head[4] = 0;
    const char *fault = fault_in_head(connection);
    if (fault) {
        fail(connection, "%s: '%.*s'", fault, (int)strcspn(connection->head, "\r\n"), connection->head);
        return;
    }
    free(connection->head);
    connection->head = NULL;
    become_open(connection, now);
    take(connection, data + head_bytes, length - head_bytes, now);
}

static void receive(struct connection *connection) {
    static unsigned char buffer[READ_BYTES]; /* as much as an inbox has room for, besides the frame that is begun in it */
    ssize_t length = recv(connection->fd, buffer, sizeof buffer, 0);
    if (length < 0 && errno == EAGAIN) return;
    uint64_t now = now_ns();
    if (length > 0 && connection->state == HANDSHAKING) receive_head(connection, buffer, (size_t)length, now);
    else if (length > 0) take(connection, buffer, (size_t)length, now);
    else if (connection->state == CLOSING) end(connection);
    else fail(connection, "the server ended the connection: %s", length ? strerror(errno) : "end of file");
}

static void handle_event(struct connection *connection, uint32_t events) {
    if (connection->state == CONNECTING) request_upgrade(connection);
    else {
        if (events & EPOLLOUT) flush(connection);
        if (events & ~(uint32_t)EPOLLOUT && is_alive(connection)) receive(connection);
    }
    /* A cycle of `--mode handshakes` has ended well: the same connection begins the next. */
    if (options.mode == MODE_HANDSHAKES && connection->state == CLOSED) start(connection);
}

/* Waits for events and handles them.  Returns false when stdin, if it is watched, has ended. */
static bool turn(int timeout_ms) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll_fd, events, 256, timeout_ms);
    if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
    if (count > 0) last_progress = now_ns();
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr) handle_event(events[i].data.ptr, events[i].events);
        else {
            char ignored[256];
            if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return false;
        }
    }
    return true;
}

/* ---- the modes ------------------------------------------------------------------------------------------------------- */

static void open_all(void) {
    last_progress = now_ns();
    while (started < options.connections || opening) {
        start_more();
        turn(100);
        if (now_ns() - last_progress > OPENING_TIMEOUT)
            die("the server stopped answering: %u of %u handshakes are done", started - opening, options.connections);
    }
}

static void reset_measured(void) {
    memset(&measured, 0, sizeof measured);
    for (unsigned i = 0; i < options.connections; i++) connections[i].replies = 0;
}

static uint64_t own_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static void run_for(double seconds) {
    uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
    while (live && now_ns() < until) turn(10);
}

static unsigned silent_connections(void) {
    unsigned silent = 0;
    for (unsigned i = 0; i < options.connections; i++) silent += connections[i].replies == 0;
    return silent;
}

static void print_measured(double seconds, double cpu_seconds, double server_cpu_seconds) {
    const char *unit = options.mode == MODE_HANDSHAKES ? "handshakes" : "messages";
    printf("{\"%s_per_second\": %.1f, \"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", unit,
           (double)measured.completed / seconds, percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
           (double)measured.slowest / 1e3);
    printf("\"%s\": %llu, \"errors\": %llu, \"seconds\": %.4f, \"cpu_seconds\": %.4f", unit,
           (unsigned long long)measured.completed, (unsigned long long)errors, seconds, cpu_seconds);
    if (options.server_pid) printf(", \"server_cpu_seconds\": %.4f", server_cpu_seconds);
    if (options.mode != MODE_HANDSHAKES) printf(", \"silent_connections\": %u", silent_connections());
    puts("}");
}

/* A rate of a few replies would say more about when the time began and ended than about the server. */
static void run_for_enough(uint64_t begin) {
    uint64_t enough = (uint64_t)LEAST_ROUNDS * options.connections * options.in_flight;
    run_for(options.seconds);
    while (live && measured.completed < enough && (double)(now_ns() - begin) / 1e9 < LONGEST * options.seconds) turn(10);
}

/* Warms up, forgets what it counted, and measures. */
static void measure(void) {
    run_for(options.warmup);
    reset_measured();
    uint64_t begin = now_ns(), cpu = own_cpu_ns(), server_cpu = server_cpu_ns();
    run_for_enough(begin);
    double seconds = (double)(now_ns() - begin) / 1e9;
    if (!measured.completed && ++errors == 1) fputs("load: the server answered nothing in the measured time\n", stderr);
    print_measured(seconds, (double)(own_cpu_ns() - cpu) / 1e9, (double)(server_cpu_ns() - server_cpu) / 1e9);
}

static void run_echo(void) {
    open_all();
    uint64_t now = now_ns();
    for (unsigned i = 0; i < options.connections; i++)
        if (connections[i].state == OPEN) send_messages(&connections[i], options.in_flight, now);
    measure();
}

/* In the closed loop of a broadcast the next message is sent when the one before has come to everybody. */
static void run_broadcast(void) {
    open_all();
    run_for(JOINING_SECONDS);
    send_broadcast(now_ns());
    measure();
}

static void run_handshakes(void) {
    while (started < options.connections) start(&connections[started++]);
    measure();
}

/* Holds the connections open until stdin ends, then closes each with a closing handshake. */
static void run_idle(void) {
    struct epoll_event event = {.events = EPOLLIN};
    open_all();
    printf("{\"open\": %u, \"errors\": %llu}\n", live, (unsigned long long)errors);
    fflush(stdout);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event)) die("stdin is to be a pipe or a terminal");
    while (live && turn(1000)) continue;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);

    unsigned open = 0;
    for (unsigned i = 0; i < options.connections; i++)
        if (connections[i].state == OPEN) begin_close(&connections[i]), open++;
    uint64_t until = now_ns() + CLOSING_TIMEOUT;
    for (unsigned left = open; left && now_ns() < until;) {
        turn(100);
        left = 0;
        for (unsigned i = 0; i < options.connections; i++) left += is_alive(&connections[i]);
    }
    printf("{\"closed\": %u, \"pings\": %llu, \"errors\": %llu}\n", open, (unsigned long long)pings,
           (unsigned long long)errors);
}

/* ---- the command line ------------------------------------------------------------------------------------------------ */

static const char usage[] =
    "usage: load --port PORT [--host HOST] [--path PATH] [--mode echo|handshakes|idle|broadcast] [--connections N]\n"
    "            [--in-flight M] [--size BYTES] [--opcode text|binary] [--deflate] [--seconds S] [--warmup S]\n"
    "            [--header 'Name: value']...\n"
    "            [--server-pid PID]\n";

static void misuse(const char *name, const char *value) {
    fprintf(stderr, "load: --%s '%s' is not valid\n%s", name, value, usage);
    exit(2);
}

static unsigned long whole_number(const char *name, const char *value, unsigned long least, unsigned long most) {
    char *rest;
    errno = 0;
    unsigned long number = strtoul(value, &rest, 10);
    if (errno || *rest || rest == value || *value == '-' || number < least || number > most) misuse(name, value);
    return number;
}

static double duration(const char *name, const char *value) {
    char *rest;
    double number = strtod(value, &rest);
    if (*rest || rest == value || !(number >= 0 && number < 86400)) misuse(name, value);
    return number;
}

static unsigned choice(const char *name, const char *value, const char *const *names) {
    for (unsigned i = 0; names[i]; i++)
        if (!strcmp(names[i], value)) return i;
    misuse(name, value);
    return 0;
}

static void add_header(const char *line) {
    size_t length = strlen(options.headers);
    if (!strchr(line, ':') || strpbrk(line, "\r\n")) misuse("header", line);
    if (length + strlen(line) + 3 > sizeof options.headers) die("the headers are too long");
    sprintf(options.headers + length, "%s\r\n", line);
}

static void read_options(int argc, char **argv) {
    static const char *const modes[] = {"echo", "handshakes", "idle", "broadcast", NULL};
    static const char *const opcodes[] = {"text", "binary", NULL};
    static const struct option table[] = {
        {"host", 1, 0, 'h'},    {"port", 1, 0, 'p'},    {"path", 1, 0, 'u'},   {"connections", 1, 0, 'c'},
        {"in-flight", 1, 0, 'f'}, {"size", 1, 0, 's'},  {"opcode", 1, 0, 'o'}, {"seconds", 1, 0, 't'},
        {"warmup", 1, 0, 'w'},  {"header", 1, 0, 'H'},  {"mode", 1, 0, 'm'},   {"server-pid", 1, 0, 'P'},
        {"deflate", 0, 0, 'd'}, {0, 0, 0, 0}};
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (option == '?') fputs(usage, stderr), exit(2);
        const char *name = table[index].name;
        switch (option) {
        case 'h': options.host = optarg; break;
        case 'p': options.port = optarg; break;
        case 'u': options.path = optarg; break;
        case 'c': options.connections = (unsigned)whole_number(name, optarg, 1, 1000000); break;
        case 'f': options.in_flight = (unsigned)whole_number(name, optarg, 1, 1000000); break;
        case 's': options.size = whole_number(name, optarg, 0, 1ul << 30); break;
        case 'o': options.opcode = choice(name, optarg, opcodes) ? OPCODE_BINARY : OPCODE_TEXT; break;
        case 't': options.seconds = duration(name, optarg); break;
        case 'w': options.warmup = duration(name, optarg); break;
        case 'H': add_header(optarg); break;
        case 'm': options.mode = (enum mode)choice(name, optarg, modes); break;
        case 'd': options.deflate = true; break;
        case 'P': options.server_pid = (pid_t)whole_number(name, optarg, 1, 1ul << 30); break;
        }
    }
    if (!options.port || optind < argc) fputs(usage, stderr), exit(2);
    if (options.deflate) add_header("Sec-WebSocket-Extensions: permessage-deflate"), options.opcode = OPCODE_TEXT;
    if (options.mode == MODE_BROADCAST) options.in_flight = 1;
}

/* Thousands of connections need as many descriptors as we may have. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void prepare(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int failure = getaddrinfo(options.host, options.port, &hints, &address);
    if (failure) die("%s:%s: %s", options.host, options.port, gai_strerror(failure));
    if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1: %s", strerror(errno));
    raise_descriptor_limit();
    if (options.deflate) build_deflated_ring();
    else build_ring();
    connections = allocate(options.connections, sizeof *connections);
    for (unsigned i = 0; i < options.connections; i++)
        connections[i].sent_at = allocate(options.in_flight, sizeof *connections[i].sent_at);
    live = options.connections;
}

int main(int argc, char **argv) {
    static void (*const modes[])(void) = {run_echo, run_handshakes, run_idle, run_broadcast};
    read_options(argc, argv);
    prepare();
    modes[options.mode]();
    if (errors > REPORTED_ERRORS) fprintf(stderr, "load: %llu errors in all\n", (unsigned long long)errors);
    return errors ? 1 : 0;
}
