/* One input is one life of the core: a script of diverts, leases, time, counts, inputs, well-formed frames with hostile contents and
 * bytes as they are; after every step what must always hold is checked, abort() says that it did not. Knows no source of inputs:
 * libFuzzer, generate.c and replay.c each give them. White-box. */
#include <stdio.h>
#include <stdlib.h>

#include "../core/bytes.h"
#include "../core/internal.h"
#include "receive.h"

enum { SESSION = 0x51, SHORTEST = 10 };

typedef struct {
    sc_core *core;
    uint64_t now_us;
    int64_t count;
    const uint8_t *at, *end;
    uint8_t wire[SC_FRAME + 2]; /* since the last zero */
    uint32_t on_wire, damaged;
} script;

void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check(const sc_core *core) {
    sc_mask wanted = 0;
    for (uint16_t i = 0; i < core->queued; i++) wanted |= (sc_mask)(core->queue[i].begun & ~core->queue[i].done);
    must(core->armed || (core->on == 0 && core->queued == 0 && !core->permit), "disarmed is off, empty, without permit");
    must((core->on & ~wanted) == 0, "a gate is on only for a command that has begun");
    must(core->queued == 0 || core->ring_used + core->queued + 3 <= SC_RING, "room for every command's report, and for three of our own");
    must(core->ring_used <= SC_RING && core->queued <= SC_QUEUE && core->tx_used <= SC_TX, "sizes");
    must(!core->estop || !core->armed, "an E-stop disarms");
    must(!core->armed || core->config.crc != 0, "armed only with a configuration");
}

static void check_after_tick(const sc_core *core, uint64_t now_us) {
    for (uint8_t g = 0; g < core->config.gates; g++)
        must(!(core->on & sc_bit(g)) || now_us - core->gate[g].on_us < core->config.gate[g].max_hold_us, "maximum hold");
    must(!core->armed || now_us < core->lease_until_us, "the lease");
}

static uint8_t byte(script *s) { return s->at < s->end ? *s->at++ : 0; }

static uint32_t word(script *s) {
    uint32_t value = byte(s);
    value |= (uint32_t)byte(s) << 8;
    return value;
}

/* ---- what may be taken: a second decoder, slow and written from PROTOCOL.md, not from frame.c */

static uint32_t slow_crc(const uint8_t *data, uint32_t length) {
    uint32_t crc = UINT32_MAX;
    for (uint32_t bit = 0; bit < 8 * length; bit++) {
        uint32_t low = (crc ^ (uint32_t)(data[bit / 8] >> bit % 8)) & 1u;
        crc = (crc >> 1) ^ (low ? 0xEDB88320u : 0u);
    }
    return ~crc;
}

/* Are these bytes, without zeros, an undamaged frame? */
static bool sound(const uint8_t *wire, uint32_t length) {
    uint8_t frame[SC_FRAME];
    uint32_t n = 0, at = 0;
    if (length < SHORTEST + 1 || length > SC_FRAME + 1) return false;
    while (at < length) {
        uint32_t code = wire[at];
        if (at > 0) frame[n++] = 0;
        if (at + code > length) return false;
        memcpy(frame + n, wire + at + 1, code - 1);
        n += code - 1;
        at += code;
    }
    uint32_t told = 0;
    for (uint32_t i = 4; i > 0; i--) told = told << 8 | frame[n - 5 + i];
    return told == slow_crc(frame, n - 4);
}

/* The core counts what it did not take; nothing else tells a frame taken in error from one without effect. */
static void hear(script *s, const uint8_t *bytes, uint32_t n) {
    sc_receive(s->core, bytes, n, s->now_us);
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            if (s->on_wire < sizeof s->wire) s->wire[s->on_wire++] = bytes[i];
            continue;
        }
        if (s->on_wire > 0 && !sound(s->wire, s->on_wire)) s->damaged++;
        s->on_wire = 0;
    }
    must(s->core->crc_errors == s->damaged, "taken is what is undamaged, and only that");
    check(s->core);
}

/* ---- steps */

/* COBS of at most 96 bytes, between zeros. */
static uint32_t wrap(const uint8_t *frame, uint32_t length, uint8_t *out) {
    uint8_t *at = out;
    *at++ = 0;
    for (uint32_t start = 0, i = 0; i <= length; i++) {
        if (i < length && frame[i] != 0) continue;
        *at++ = (uint8_t)(i - start + 1);
        while (start < i) *at++ = frame[start++];
        start++;
    }
    *at++ = 0;
    return (uint32_t)(at - out);
}

static uint32_t make_frame(uint8_t type, uint32_t session, const uint8_t *payload, uint8_t length, uint8_t *out) {
    uint8_t frame[SC_FRAME], *at = frame;
    put_u8(&at, type);
    put_u8(&at, 0);
    put_u32(&at, session);
    memcpy(at, payload, length);
    at += length;
    put_u32(&at, sc_crc32(0, frame, (uint32_t)(at - frame)));
    return wrap(frame, (uint32_t)(at - frame), out);
}

static void give(script *s, uint8_t type, uint32_t session, const uint8_t *payload, uint8_t length) {
    uint8_t bytes[SC_FRAME + 4];
    hear(s, bytes, make_frame(type, session, payload, length, bytes));
}

static void greet(script *s, uint32_t session) {
    uint8_t payload[9], *at = payload;
    put_u8(&at, 1);
    put_u32(&at, session);
    put_u32(&at, 7);
    give(s, 0x01, 0, payload, 9);
}

static void configure(script *s) {
    uint8_t payload[32], covered[80], *at, *all = covered;
    for (uint8_t g = 0; g < 2; g++) {
        at = payload;
        put_u8(&at, g);
        put_u8(&at, 0);
        put_u32(&at, 1000);
        put_u32(&at, 200000);
        put_u32(&at, 4000);
        put_u32(&at, 12000);
        put_u32(&at, 8000);
        put_u16(&at, 700);
        memcpy(all, payload + 1, 23);
        all += 23;
        give(s, 0x02, s->core->session, payload, 24);
    }
    at = payload;
    put_u8(&at, 2);
    put_u16(&at, 250);
    put_u32(&at, 1000);
    put_u32(&at, 500000);
    put_u32(&at, 10000);
    put_u32(&at, 20000);
    memcpy(all, payload, 19);
    put_u32(&at, sc_crc32(0, covered, 46 + 19));
    give(s, 0x03, s->core->session, payload, 23);
    must(s->core->config.crc != 0, "the script's own configuration is sound");
}

static void arm(script *s) {
    uint8_t payload[5], *at = payload;
    put_u32(&at, s->core->config.crc);
    put_u8(&at, 1);
    give(s, 0x04, s->core->session, payload, 5);
}

static void lease(script *s, uint8_t wishes) {
    uint8_t payload[6], *at = payload;
    put_u32(&at, s->core->lease_counter + 1u);
    put_u8(&at, wishes != 0);
    put_u8(&at, wishes & 1);
    give(s, 0x05, s->core->session, payload, 6);
}

static void divert(script *s) {
    uint8_t payload[25], *at = payload, how = byte(s);
    int64_t base = how & 1 ? s->core->encoder.count : (int64_t)s->now_us, unit = how & 1 ? 1 : 500;
    int64_t start = base + (int64_t)(word(s) % 2000) * unit - 40 * unit, end = start + (int64_t)(word(s) % 500) * unit;
    put_u32(&at, byte(s) + 1u);
    put_u32(&at, how & 128 ? byte(s) : (how >> 1 & 3u));
    put_u8(&at, how & 1);
    put_u64(&at, (uint64_t)start);
    put_u64(&at, how & 64 ? UINT64_MAX >> (how & 31) : (uint64_t)end);
    give(s, 0x07, s->core->session, payload, 25);
}

static void live(script *s) {
    uint32_t steps = byte(s) % 16u;
    int32_t counts = (int8_t)byte(s) / 8;
    for (uint32_t i = 0; i < steps; i++) {
        s->now_us += 1 + word(s) % 20000;
        s->count += counts;
        sc_encoder(s->core, s->now_us, s->count);
        sc_tick(s->core, s->now_us);
        check(s->core);
        check_after_tick(s->core, s->now_us);
    }
    uint8_t out[256];
    if (counts & 1) (void)sc_transmit(s->core, out, sizeof out);
    int64_t rows[64];
    while (sc_take_edges(s->core, rows, 16) > 0) {}
}

static uint32_t session_of(const script *s, uint8_t which) { return which < 11 ? s->core->session : which == 11 ? 0 : SESSION + 1u; }

/* A well-formed frame with any contents, now and then of another session or of none; for type 0 the bytes as they are. */
static void raw(script *s, uint8_t how) {
    uint8_t type = how % 20u;
    uint8_t payload[SC_FRAME], length = byte(s) % 87u;
    for (uint8_t i = 0; i < length; i++) payload[i] = byte(s);
    if (type == 0) hear(s, payload, length);
    else give(s, type, session_of(s, how / 20u), payload, length);
}

/* CANCEL, DISARM, STOP, EVT_ACK, CLEAR_FAULT */
static void short_message(script *s, uint8_t type) {
    uint8_t payload[4] = {byte(s), 0, 0, 0};
    give(s, type, s->core->session, payload, type == 0x08 || type == 0x0B ? 4 : 0);
}

static void step(script *s) {
    uint8_t what = byte(s);
    if (what < 90) divert(s);
    else if (what < 170) live(s);
    else if (what < 200) lease(s, what != 199);
    else if (what < 210) arm(s);
    else if (what < 216) sc_set_input(s->core, byte(s) % 4u, byte(s) & 1u, s->now_us);
    else if (what < 236) raw(s, byte(s));
    else if (what < 246) raw(s, 0);
    else if (what < 251) short_message(s, (uint8_t)(0x08 + what % 5u));
    else if (what < 253) sc_link_reset(s->core), s->on_wire = 0;
    else if (what == 253) sc_output_differs(s->core, byte(s), s->now_us);
    else greet(s, byte(s));
    check(s->core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static uint64_t memory[sizeof(sc_core) / 8 + 1];
    script s = {.core = (sc_core *)memory, .at = data, .end = data + length};
    sc_init(s.core, 1, 2, SC_RESET_POWER, 8, 1);
    greet(&s, SESSION);
    configure(&s);
    arm(&s);
    while (s.at < s.end) step(&s);
    return 0;
}
