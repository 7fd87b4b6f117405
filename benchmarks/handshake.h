/* The one computation of the opening handshake, for the load generator and for the raw echo server:
 *
 * RFC 6455, 4.2.2: "concatenating the value /key/ [...] with the string "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking the
 * SHA-1 hash of this concatenated value to obtain a 20-byte value and base64-encoding [...] this 20-byte hash."
 *
 * Both programs stand on libc alone, so SHA-1 and base64 are written out here.  SHA-1 takes short inputs only.
 */

#ifndef BENCHMARKS_HANDSHAKE_H
#define BENCHMARKS_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WEBSOCKET_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#define KEY_LENGTH 24    /* base64 of the 16 bytes of a Sec-WebSocket-Key */
#define ACCEPT_LENGTH 28 /* base64 of the 20 bytes of a SHA-1 hash */

static uint32_t rotate_left(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* One SHA-1 round over a block of 64 bytes. */
static void sha1_block(uint32_t state[5], const unsigned char block[64]) {
    uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               (uint32_t)block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotate_left(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate_left(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* SHA-1 of at most 119 bytes: they fill two blocks together with their padding. */
static void sha1_short(const unsigned char *input, size_t length, unsigned char digest[20]) {
    unsigned char blocks[128] = {0};
    size_t size = length + 9 <= 64 ? 64 : 128;
    memcpy(blocks, input, length);
    blocks[length] = 0x80;
    blocks[size - 2] = (unsigned char)(length * 8 >> 8);
    blocks[size - 1] = (unsigned char)(length * 8);

    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    for (size_t at = 0; at < size; at += 64) sha1_block(state, blocks + at);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* Base64 with padding; `text` has room for 4 characters per 3 bytes begun, and a zero. */
static void base64(const unsigned char *input, size_t length, char *text) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        uint32_t group = (uint32_t)input[at] << 16;
        if (left > 1) group |= (uint32_t)input[at + 1] << 8;
        if (left > 2) group |= input[at + 2];
        *text++ = alphabet[group >> 18];
        *text++ = alphabet[group >> 12 & 63];
        *text++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *text++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *text = 0;
}

/* The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key of KEY_LENGTH characters. */
static void accept_for_key(const char *key, char accept[ACCEPT_LENGTH + 1]) {
    unsigned char input[KEY_LENGTH + sizeof WEBSOCKET_GUID - 1], digest[20];
    memcpy(input, key, KEY_LENGTH);
    memcpy(input + KEY_LENGTH, WEBSOCKET_GUID, sizeof WEBSOCKET_GUID - 1);
    sha1_short(input, sizeof input, digest);
    base64(digest, sizeof digest, accept);
}

#endif
