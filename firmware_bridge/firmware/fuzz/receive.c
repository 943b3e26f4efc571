/* Throws bytes, well-formed frames, time and counts at the core and checks what must always hold.
 *
 * With clang it is a libFuzzer target. With any compiler it runs by itself: receive 60s|10m|8h [SEED [FRAMES [GOLDEN]]] plays random
 * scripts, most of them of well-formed frames with hostile contents, the rest damaged and random frames that must not be taken.
 * Each round runs in a child: what the sanitizers or the checks find there is counted, with the round that finds it again. White-box. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../core/bytes.h"
#include "../core/internal.h"

enum { SESSION = 0x51, SCRIPT_BYTES = 2048 };

typedef struct {
    sc_core *core;
    uint64_t now_us;
    int64_t count;
    const uint8_t *at, *end;
} script;

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check(const sc_core *core) {
    sc_mask wanted = 0;
    for (uint16_t i = 0; i < core->queued; i++) wanted |= (sc_mask)(core->queue[i].begun & ~core->queue[i].done);
    must(core->armed || (core->on == 0 && core->queued == 0 && !core->permit), "disarmed is off, empty, without permit");
    must((core->on & ~wanted) == 0, "a gate is on only for a command that has begun");
    must(core->events_lost == 0, "no report is ever lost");
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
    sc_receive(s->core, bytes, make_frame(type, session, payload, length, bytes), s->now_us);
    check(s->core);
}

static void greet_and_configure(script *s) {
    uint8_t payload[32], covered[80], *at = payload, *all = covered;
    put_u8(&at, 1);
    put_u32(&at, SESSION);
    put_u32(&at, 7);
    give(s, 0x01, 0, payload, 9);
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
        give(s, 0x02, SESSION, payload, 24);
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
    give(s, 0x03, SESSION, payload, 23);
    must(s->core->config.crc != 0, "the script's own configuration is sound");
}

static void arm(script *s) {
    uint8_t payload[5], *at = payload;
    put_u32(&at, s->core->config.crc);
    put_u8(&at, 1);
    give(s, 0x04, SESSION, payload, 5);
}

static void lease(script *s, uint8_t wishes) {
    uint8_t payload[6], *at = payload;
    put_u32(&at, s->core->lease_counter + 1u);
    put_u8(&at, wishes != 0);
    put_u8(&at, wishes & 1);
    give(s, 0x05, SESSION, payload, 6);
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
    give(s, 0x07, SESSION, payload, 25);
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

static void raw(script *s, uint8_t type) {
    uint8_t payload[SC_FRAME], length = byte(s) % 87u;
    for (uint8_t i = 0; i < length; i++) payload[i] = byte(s);
    if (type == 0) sc_receive(s->core, payload, length, s->now_us);
    else give(s, type, SESSION, payload, length);
    check(s->core);
}

/* CANCEL, DISARM, STOP, EVT_ACK, CLEAR_FAULT */
static void short_message(script *s, uint8_t type) {
    uint8_t payload[4] = {byte(s), 0, 0, 0};
    give(s, type, SESSION, payload, type == 0x08 || type == 0x0B ? 4 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static uint64_t memory[sizeof(sc_core) / 8 + 1];
    script s = {.core = (sc_core *)memory, .at = data, .end = data + length};
    sc_init(s.core, 1, 2, SC_RESET_POWER, 8, 1);
    greet_and_configure(&s);
    arm(&s);
    while (s.at < s.end) {
        uint8_t what = byte(&s);
        if (what < 90) divert(&s);
        else if (what < 170) live(&s);
        else if (what < 200) lease(&s, what != 199);
        else if (what < 210) arm(&s);
        else if (what < 216) sc_set_input(s.core, byte(&s) % 4u, byte(&s) & 1u, s.now_us);
        else if (what < 236) raw(&s, byte(&s) % 20u);
        else if (what < 246) raw(&s, 0);
        else short_message(&s, (uint8_t)(0x08 + what % 5u));
        check(s.core);
    }
    return 0;
}

#ifndef LIBFUZZER
static uint64_t state;

static uint32_t chance(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}


/* ---- frames: undamaged ones from a file that the host's tests read too, damaged ones made of them */

enum { GOLDEN_MOST = 64, WIRE_MOST = SC_FRAME + 4, AT_ONCE = 20000, SCRIPTS_AT_ONCE = 40, FINDINGS_MOST = 10 };

static struct {
    uint8_t bytes[WIRE_MOST], frame[SC_FRAME]; /* on the wire with its zeros; decoded */
    uint32_t length, decoded;
} golden[GOLDEN_MOST];
static uint32_t goldens;

/* Gives bytes to the receiver; how often it took a frame other than `but` of `length`. */
static uint64_t taken(sc_core *core, const uint8_t *bytes, uint32_t n, const uint8_t *but, uint32_t length) {
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n; i++) {
        sc_frame frame;
        if (!sc_frame_byte(core, bytes[i], &frame)) continue;
        uint32_t whole = (uint32_t)frame.length + 6u;
        if (but == NULL || whole != length || memcmp(core->rx, but, whole) != 0) wrong++;
    }
    return wrong;
}

static sc_core *receiver(void) {
    static uint64_t memory[sizeof(sc_core) / 8 + 1];
    sc_init((sc_core *)memory, 1, 2, SC_RESET_POWER, 8, 1);
    return (sc_core *)memory;
}

static bool read_golden(const char *path) {
    FILE *file = fopen(path, "r");
    char line[512], name[64], hex[400];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || sscanf(line, "%63s %399s", name, hex) != 2 || goldens == GOLDEN_MOST) continue;
        uint8_t *at = golden[goldens].bytes;
        unsigned value;
        *at++ = 0;
        for (const char *h = hex; sscanf(h, "%2x", &value) == 1 && at < golden[goldens].bytes + WIRE_MOST - 1; h += 2) *at++ = (uint8_t)value;
        *at++ = 0;
        golden[goldens].length = (uint32_t)(at - golden[goldens].bytes);
        sc_core *core = receiver();
        must(taken(core, golden[goldens].bytes, golden[goldens].length, NULL, 0) == 1, "a golden frame is taken");
        golden[goldens].decoded = golden[goldens].length - 3 - 4;
        memcpy(golden[goldens++].frame, core->rx, SC_FRAME);
    }
    if (file != NULL) fclose(file);
    return goldens > 0;
}

/* A golden frame with 1 to 6 flipped bits, a byte lost, one too many, or cut short. */
static uint64_t mutated_frames(sc_core *core, uint32_t n) {
    uint8_t bad[WIRE_MOST + 2];
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t which = chance() % goldens, length = golden[which].length, how = chance() % 16u, at = 1 + chance() % (length - 2);
        memcpy(bad, golden[which].bytes, length);
        if (how == 0) memmove(bad + at, bad + at + 1, --length - at);
        else if (how == 1) memmove(bad + at + 1, bad + at, length++ - at);
        else if (how == 2) bad[at] = 0, length = at + 1;
        else
            for (uint32_t flips = 1 + chance() % 6u; flips > 0; flips--) bad[1 + chance() % (length - 2)] ^= (uint8_t)(1u << chance() % 8u);
        if (length == golden[which].length && memcmp(bad, golden[which].bytes, length) == 0) continue;
        wrong += taken(core, bad, length, golden[which].frame, golden[which].decoded);
        i++;
    }
    return wrong;
}

/* Any bytes, zeros among them: none is a frame. */
static uint64_t random_frames(sc_core *core, uint32_t n) {
    uint8_t bytes[SC_FRAME + 8];
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = 1 + chance() % SC_FRAME;
        for (uint32_t k = 0; k < length; k += 2) {
            uint32_t word = chance();
            bytes[k] = (uint8_t)(word >> 8);
            bytes[k + 1] = (uint8_t)(word >> 16);
        }
        bytes[length] = 0;
        wrong += taken(core, bytes, length + 1, NULL, 0);
    }
    return wrong;
}

static void random_script(void) {
    static uint8_t bytes[SCRIPT_BYTES];
    for (uint32_t i = 0; i < SCRIPT_BYTES; i++) bytes[i] = (uint8_t)chance();
    (void)LLVMFuzzerTestOneInput(bytes, 1 + chance() % SCRIPT_BYTES);
}

/* ---- each round in a child, so that a sanitizer's finding ends only that one */

typedef struct {
    uint64_t scripts, frames, wrong;
} tally;

static void round_of(uint64_t seed, tally *all) {
    state = seed * 0x9E3779B97F4A7C15u;
    sc_core *core = receiver();
    for (int i = 0; i < SCRIPTS_AT_ONCE; i++, all->scripts++) random_script();
    all->wrong += mutated_frames(core, AT_ONCE) + random_frames(core, AT_ONCE);
    all->frames += AT_ONCE;
}

static double since_s(const struct timespec *begun) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun->tv_sec) + (double)(now.tv_nsec - begun->tv_nsec) * 1e-9;
}

int main(int argc, char **argv) {
    char *unit = "";
    double seconds = argc > 1 ? strtod(argv[1], &unit) : 10.0, took;
    seconds *= *unit == 'h' ? 3600.0 : *unit == 'm' ? 60.0 : 1.0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, round = 0;
    uint64_t wanted = argc > 3 ? strtoull(argv[3], NULL, 10) : 0; /* frames of each kind; then the time does not count */
    uint32_t findings = 0;
    tally *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct timespec begun;
    if (all == MAP_FAILED || !read_golden(argc > 4 ? argv[4] : "fuzz/frames.txt")) {
        fprintf(stderr, "receive: no golden frames\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        uint64_t of_round = seed * 1000003u + round++;
        pid_t child = fork();
        int status = 0;
        if (child == 0) {
            round_of(of_round, all);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "finding in round %llu of seed %llu\n", (unsigned long long)(round - 1), (unsigned long long)seed);
            findings++;
        }
        took = since_s(&begun);
    } while (findings < FINDINGS_MOST && (wanted > 0 ? all->frames < wanted : took < seconds));
    printf("{\"schema\":\"bridge.fuzz/1\",\"golden_frames\":%u,\"scripts\":%llu,\"mutated_frames\":%llu,\"random_frames\":%llu,"
           "\"false_accepts\":%llu,\"sanitizer_findings\":%u,\"frames_per_s\":%.0f}\n",
           goldens, (unsigned long long)all->scripts, (unsigned long long)all->frames, (unsigned long long)all->frames,
           (unsigned long long)all->wrong, findings, 2.0 * (double)all->frames / took);
    return all->wrong > 0 || findings > 0;
}
#endif
