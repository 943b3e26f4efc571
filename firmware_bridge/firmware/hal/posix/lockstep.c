/* Virtual time: the caller owns the clock and the belt, this file finds the instants between two of them that matter. */
#include "posix_hal.h"

#include <math.h>
#include <stdbool.h>

typedef struct {
    uint64_t from_us;
    double from_counts, counts_per_us;
} motion;

/* When the belt, coming from `count`, stands on the next one; UINT64_MAX when it does not move. */
static uint64_t next_count_us(const motion *m, int64_t count, int64_t *next) {
    if (m->counts_per_us == 0.0) return UINT64_MAX;
    bool forward = m->counts_per_us > 0.0;
    *next = forward ? count + 1 : count - 1;
    double edge = forward ? (double)*next : (double)count; /* going back, a count is left at its lower end */
    double after_us = (edge - m->from_counts) / m->counts_per_us;
    return after_us <= 0.0 ? m->from_us : m->from_us + (uint64_t)ceil(after_us);
}

uint32_t lockstep_advance(sc_core *core, uint64_t from_us, uint64_t to_us, double from_counts, double to_counts) {
    double span_us = to_us > from_us ? (double)(to_us - from_us) : 1.0;
    motion m = {from_us, from_counts, (to_counts - from_counts) / span_us};
    uint64_t now_us = from_us;
    int64_t count = (int64_t)floor(from_counts), last = (int64_t)floor(to_counts), next = count;
    sc_encoder(core, now_us, count);
    sc_tick(core, now_us);
    while (now_us < to_us) {
        uint64_t at_us = count == last ? UINT64_MAX : next_count_us(&m, count, &next);
        uint64_t due_us = sc_next_due_us(core);
        if (due_us <= now_us) due_us = now_us + 1;
        if (at_us > due_us && due_us < to_us) {
            now_us = due_us;
        } else if (at_us <= to_us) {
            now_us = at_us > now_us ? at_us : now_us;
            count = next;
            sc_encoder(core, now_us, count);
            if (sc_next_due_us(core) > now_us) continue; /* most counts are of no consequence */
        } else {
            now_us = to_us;
        }
        sc_tick(core, now_us);
    }
    return sc_waiting(core);
}
