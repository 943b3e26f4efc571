/* May a gate take one more window? Checks what it would then do (windows that touch join) against hold, gap and duty.
 *
 * Time windows are checked in microseconds; count windows in counts x 256, with the gate's limits carried over by the
 * measured rate, because that needs no division per command. A standing belt is judged by its last motion. */
#include "internal.h"

typedef struct {
    int64_t on, off;
} interval;

typedef struct {
    const sc_core *core;
    const sc_now *now;
    uint32_t rate_q32; /* for planning */
    uint8_t mode, gate;
    interval interval[SC_QUEUE + 1];
    uint16_t used;
} plan;

/* `us` in the plan's unit. */
static int64_t span(const plan *p, uint32_t us) { return p->mode == MODE_TIME ? (int64_t)us : sc_counts_q8(p->rate_q32, us); }

static int64_t past(const plan *p, uint64_t at_us) {
    int64_t ago_us = (int64_t)(p->now->now_us - at_us);
    if (p->mode == MODE_TIME) return (int64_t)at_us;
    return p->now->position_q8 - ((ago_us * (int64_t)(p->rate_q32 >> 8)) >> 16);
}

static int64_t translated(const plan *p, int64_t at, uint8_t mode) {
    if (mode == p->mode) return at;
    if (mode == MODE_TIME) return past(p, (uint64_t)at);
    return (int64_t)p->now->now_us + (at - p->now->position_q8) * 16777216 / (int64_t)p->rate_q32;
}

static void add(plan *p, const sc_command *command) {
    const sc_gate_config *config = &p->core->config.gate[p->gate];
    interval i = {command->start - (int64_t)config->opening_us, command->end - (int64_t)config->closing_us};
    if (command->mode == MODE_COUNT) {
        i.on = command->start * 256 - sc_counts_q8(p->rate_q32, config->opening_us);
        i.off = command->end * 256 - sc_counts_q8(p->rate_q32, config->closing_us);
    }
    i.on = translated(p, i.on, command->mode);
    i.off = translated(p, i.off, command->mode);
    if (command->begun & sc_bit(p->gate)) {
        int64_t since = past(p, p->core->gate[p->gate].on_us);
        if (since < i.on) i.on = since;
    }
    p->interval[p->used++] = i;
}

/* The first stretch of joined windows after `after`; false when there is none. */
static bool next_stretch(const plan *p, int64_t after, interval *stretch) {
    bool found = false;
    for (uint16_t i = 0; i < p->used; i++) {
        if (p->interval[i].on <= after || (found && p->interval[i].on >= stretch->on)) continue;
        *stretch = p->interval[i];
        found = true;
    }
    bool grew = found;
    while (grew) {
        grew = false;
        for (uint16_t i = 0; i < p->used; i++) {
            if (p->interval[i].on < stretch->on || p->interval[i].on > stretch->off || p->interval[i].off <= stretch->off) continue;
            stretch->off = p->interval[i].off;
            grew = true;
        }
    }
    return found;
}

static bool holds(const plan *p, const interval *stretch) {
    const sc_gate_config *config = &p->core->config.gate[p->gate];
    int64_t held = stretch->off - stretch->on;
    return held >= span(p, config->min_hold_us) && held <= span(p, config->max_hold_us);
}

static bool within(const plan *p) {
    const sc_gate_config *config = &p->core->config.gate[p->gate];
    const sc_gate *state = &p->core->gate[p->gate];
    bool is_on = (p->core->on & sc_bit(p->gate)) != 0;
    int64_t after = INT64_MIN, total = 0, gap = span(p, config->min_gap_us);
    bool preceded = !is_on && state->was_on && p->now->now_us - state->off_us < config->min_gap_us, before_was_new = false;
    int64_t preceded_by = preceded ? past(p, state->off_us) : 0;
    interval stretch = {0, 0};
    const interval *added = &p->interval[0];
    while (next_stretch(p, after, &stretch)) {
        bool is_new = added->on >= stretch.on && added->off <= stretch.off;
        if (is_new && !holds(p, &stretch)) return false;
        if (preceded && (is_new || before_was_new) && stretch.on - preceded_by < gap) return false;
        total += stretch.off - stretch.on;
        after = preceded_by = stretch.off;
        preceded = true;
        before_was_new = is_new;
    }
    if (config->max_duty_permille >= 1000) return true;
    uint32_t allowed_us = config->max_duty_permille * 10000u, used_us = sc_duty_used_us(p->core, p->gate);
    return used_us <= allowed_us && total <= span(p, allowed_us - used_us);
}

/* Whether `command` on `gate`, joined with what is queued, keeps the gate's limits. */
bool sc_within_limits(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now) {
    plan p = {.core = core, .now = now, .rate_q32 = sc_planning_rate_q32(core, now->now_us), .mode = command->mode, .gate = gate};
    if (command->mode == MODE_COUNT && p.rate_q32 == 0) return true; /* never moved: nothing to measure by; hold is kept at run time */
    add(&p, command);
    for (uint16_t i = 0; i < core->queued; i++) {
        const sc_command *other = &core->queue[i];
        if (!(other->mask & ~other->done & sc_bit(gate))) continue;
        if (other->mode != command->mode && p.rate_q32 == 0) continue;
        add(&p, other);
    }
    return within(&p);
}
