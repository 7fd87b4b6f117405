/* A raw echo: what one core can do when nothing stands between epoll and the frame.  The upper limit for every peer.
 *
 * It does what an echo server must: the opening handshake, unmasking, new headers, pongs, the Close frame's answer, frames of
 * any length in any pieces.  Like every other server here it answers a frame when the whole of it has arrived.  It does
 * not check UTF-8 and does not join fragments: a frame comes back as the frame it was.
 *
 * usage: raw_epoll PORT
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../handshake.h"

enum { OPCODE_CLOSE = 0x8, OPCODE_PING = 0x9, OPCODE_PONG = 0xa };
enum { MASKED = 0x80, MASKING_KEY_LENGTH = 4 };

#define READ_BYTES (256 * 1024)
#define MAX_HEAD 16384
#define MAX_PAYLOAD (256ull * 1024 * 1024)

struct bytes {
    unsigned char *data;
    size_t length, capacity;
};

struct connection {
    int fd;
    bool is_open;      /* the handshake is done */
    bool is_closing;   /* close the socket as soon as the output has left */
    struct bytes input;  /* the beginning of a frame, or of the request's head, whose end is still to come */
    size_t wanted;       /* how long the frame in `input` will be; 0 while its header is incomplete */
    struct bytes output; /* answers that the kernel would not take yet: they are in it from `sent` on */
    size_t sent;
};

struct frame {
    unsigned char first;
    size_t header_length; /* with the masking key */
    size_t length;
};

static int epoll_fd;

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* ---- buffers --------------------------------------------------------------------------------------------------------- */

static void reserve(struct bytes *bytes, size_t capacity) {
    if (capacity <= bytes->capacity) return;
    bytes->data = realloc(bytes->data, capacity);
    if (!bytes->data) die("realloc");
    bytes->capacity = capacity;
}

/* Makes a copy; `data` may lie in the same buffer. */
static void set(struct bytes *bytes, const unsigned char *data, size_t length) {
    reserve(bytes, length);
    if (length) memmove(bytes->data, data, length);
    bytes->length = length;
}

/* ---- connections ----------------------------------------------------------------------------------------------------- */

static void watch(struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event)) die("epoll_ctl");
}

static void drop(struct connection *connection) {
    close(connection->fd);
    free(connection->input.data);
    free(connection->output.data);
    free(connection);
}

static void accept_one(int listener) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) die("calloc");
    connection->fd = fd;
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

/* Has all output left?  Until then the peer is not read. */
static bool is_flushed(const struct connection *connection) { return connection->sent == connection->output.length; }

/* Sends what the kernel takes of the output.  False: the connection is over. */
static bool flush(struct connection *connection) {
    struct bytes *output = &connection->output;
    ssize_t sent = send(connection->fd, output->data + connection->sent, output->length - connection->sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    connection->sent += (size_t)sent;
    if (!is_flushed(connection)) return true;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    return !connection->is_closing;
}

/* Sends at once, and keeps what the kernel does not take.  False: the connection is over. */
static bool send_out(struct connection *connection, const unsigned char *data, size_t length) {
    ssize_t sent = length ? send(connection->fd, data, length, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent < 0) sent = 0;
    if ((size_t)sent == length) return !connection->is_closing;
    set(&connection->output, data + sent, length - (size_t)sent);
    connection->sent = 0;
    watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    return true;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* Reads a frame's header.  1: it is whole; 0: more bytes are needed; -1: it is not a client's frame. */
static int read_header(const unsigned char *data, size_t length, struct frame *frame) {
    if (length < 2) return 0;
    if (!(data[1] & MASKED)) return -1;
    unsigned short_length = data[1] & 0x7f;
    size_t extended = short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
    if (length < 2 + extended) return 0;
    uint64_t payload_length = extended ? 0 : short_length;
    for (size_t i = 0; i < extended; i++) payload_length = payload_length << 8 | data[2 + i];
    if (payload_length > MAX_PAYLOAD) return -1;
    *frame = (struct frame){data[0], 2 + extended + MASKING_KEY_LENGTH, payload_length};
    return 1;
}

/* Unmasks towards lower addresses: `out` lies before `in`, and may overlap it.  32 bytes at a time are loaded before they are
 * stored, which keeps the overlap harmless and lets the compiler use vector registers. */
static void unmask(unsigned char *out, const unsigned char *in, size_t length, const unsigned char masking_key[4]) {
    uint32_t key;
    memcpy(&key, masking_key, 4);
    uint64_t wide = (uint64_t)key << 32 | key, words[4];
    size_t at = 0;
    for (; at + 32 <= length; at += 32) {
        memcpy(words, in + at, 32);
        for (int i = 0; i < 4; i++) words[i] ^= wide;
        memcpy(out + at, words, 32);
    }
    unsigned char key_bytes[4];
    memcpy(key_bytes, &key, 4);
    for (; at < length; at++) out[at] = in[at] ^ key_bytes[at % 4];
}

/* Writes the answer to the frame at `in` to `out`.  A server's frame has no masking key: it is shorter by those four bytes,
 * so the answers fit into the buffer the frames were received in. */
static size_t write_answer(unsigned char *out, const unsigned char *in, const struct frame *frame) {
    unsigned char opcode = frame->first & 0x0f, masking_key[4];
    if (opcode == OPCODE_PONG) return 0;
    size_t unmasked_header = frame->header_length - MASKING_KEY_LENGTH;
    memcpy(masking_key, in + unmasked_header, 4);
    memmove(out, in, unmasked_header);
    out[1] &= (unsigned char)~MASKED;
    if (opcode == OPCODE_PING) out[0] = (unsigned char)((frame->first & 0xf0) | OPCODE_PONG);
    unmask(out + unmasked_header, in + frame->header_length, frame->length, masking_key);
    return unmasked_header + frame->length;
}

/* Turns the whole frames in `data` into their answers, in place, and sends them at once.  Keeps the frame that is begun.
 * False: the connection is over. */
static bool echo(struct connection *connection, unsigned char *data, size_t length) {
    size_t in = 0, out = 0;
    int known = 0;
    struct frame frame;
    while (!connection->is_closing && (known = read_header(data + in, length - in, &frame)) > 0) {
        if (frame.header_length + frame.length > length - in) break;
        out += write_answer(data + out, data + in, &frame);
        in += frame.header_length + frame.length;
        connection->is_closing = (frame.first & 0x0f) == OPCODE_CLOSE;
    }
    if (known < 0) return false;
    bool alive = send_out(connection, data, out);
    if (!alive || connection->is_closing) return alive;
    set(&connection->input, data + in, length - in);
    connection->wanted = known ? frame.header_length + frame.length : 0;
    return true;
}

/* ---- the opening handshake ------------------------------------------------------------------------------------------- */

/* The zero-terminated key in a zero-terminated head, or NULL. */
static const char *find_key(const char *head) {
    static const char name[] = "\r\nSec-WebSocket-Key:";
    const char *line = strcasestr(head, name);
    if (!line) return NULL;
    line += sizeof name - 1;
    line += strspn(line, " \t");
    return strcspn(line, "\r\n") >= KEY_LENGTH ? line : NULL;
}

/* Answers the request once its head is whole; what follows the head are frames already. */
static bool shake_hands(struct connection *connection, const unsigned char *data, size_t length) {
    unsigned char whole[MAX_HEAD + 1];
    size_t before = connection->input.length;
    if (before + length > MAX_HEAD) return false;
    if (before) memcpy(whole, connection->input.data, before);
    memcpy(whole + before, data, length);
    whole[before + length] = 0;
    unsigned char *end = memmem(whole, before + length, "\r\n\r\n", 4);
    if (!end) {
        set(&connection->input, whole, before + length);
        return true;
    }
    const char *key = find_key((char *)whole);
    char accept[ACCEPT_LENGTH + 1], response[256];
    if (!key) {
        static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        connection->is_closing = true;
        return send_out(connection, (const unsigned char *)refusal, sizeof refusal - 1);
    }
    accept_for_key(key, accept);
    int response_length = snprintf(response, sizeof response,
                                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    connection->is_open = true;
    connection->input.length = 0;
    if (!send_out(connection, (const unsigned char *)response, (size_t)response_length)) return false;
    size_t frames = before + length - (size_t)(end + 4 - whole);
    return !frames || echo(connection, end + 4, frames);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

/* One recv: into the buffer that all connections share, or behind the beginning of a frame that waits for its end. */
static bool receive(struct connection *connection) {
    static unsigned char shared[READ_BYTES];
    bool continues = connection->is_open && connection->input.length;
    struct bytes *input = &connection->input;
    size_t room = input->length + READ_BYTES;
    if (continues) reserve(input, room > connection->wanted ? room : connection->wanted);
    unsigned char *into = continues ? input->data + input->length : shared;
    ssize_t length = recv(connection->fd, into, continues ? input->capacity - input->length : sizeof shared, 0);
    if (length < 0 && errno == EAGAIN) return true;
    if (length <= 0) return false;
    if (!connection->is_open) return shake_hands(connection, shared, (size_t)length);
    if (!continues) return echo(connection, shared, (size_t)length);
    input->length += (size_t)length;
    return input->length < connection->wanted || echo(connection, input->data, input->length);
}

static void handle_event(struct connection *connection) {
    bool alive = is_flushed(connection) ? receive(connection) : flush(connection);
    if (!alive) drop(connection);
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (listen(fd, 4096)) die("listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fputs("usage: raw_epoll PORT\n", stderr);
        return 2;
    }
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) handle_event(events[i].data.ptr);
            else accept_one(listener);
        }
    }
}
