/* Every way to flip one, two or three bits of every golden frame: none may be taken. flips [BITS [GOLDEN]]
 * A flipped bit may make or unmake a zero or a run of COBS, so that the checksum's own guarantee does not settle it. White-box. */
#include <stdio.h>
#include <stdlib.h>

#include "golden.h"

typedef struct {
    sc_core *core;
    const golden_frame *whole;
    uint8_t bytes[WIRE_MOST];
    uint64_t tried, wrong;
} trial;

/* The bits before `below` in every choice of `more`, on top of those flipped already. */
static void flip(trial *t, uint32_t below, uint32_t more) {
    for (uint32_t bit = 8; bit < below; bit++) { /* the zeros around a frame belong to none */
        uint8_t mask = (uint8_t)(1u << bit % 8u);
        t->bytes[bit / 8] ^= mask;
        t->tried++;
        t->wrong += taken(t->core, t->bytes, t->whole->length, NULL, 0);
        if (more > 1) flip(t, bit, more - 1);
        t->bytes[bit / 8] ^= mask;
    }
}

int main(int argc, char **argv) {
    uint32_t bits = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 3;
    trial t = {.core = receiver()};
    if (!read_golden(argc > 2 ? argv[2] : "fuzz/frames.txt")) {
        fprintf(stderr, "flips: no golden frames\n");
        return 2;
    }
    for (uint32_t n = 0; n < goldens; n++) {
        uint64_t before = t.wrong;
        t.whole = &golden[n];
        memcpy(t.bytes, golden[n].bytes, sizeof t.bytes);
        flip(&t, 8 * (golden[n].length - 1), bits);
        if (t.wrong > before) fprintf(stderr, "%s: %llu damaged ones were taken\n", golden[n].name, (unsigned long long)(t.wrong - before));
    }
    printf("{\"schema\":\"bridge.flips/1\",\"golden_frames\":%u,\"bits\":%u,\"frames\":%llu,\"false_accepts\":%llu}\n", goldens, bits,
           (unsigned long long)t.tried, (unsigned long long)t.wrong);
    return t.wrong > 0;
}
