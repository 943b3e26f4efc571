/* The next pulse of each gate, foretold for a HAL whose timer moves the outputs between two ticks; and what it then did.
 *
 * A tick on a small board may take milliseconds. So the pulse is said ahead: moments for a timer, and for windows in counts the
 * count below which the output must not move, because a belt that stops never gets there. Changes no state but in sc_moved. */
#include "internal.h"

/* An edge in the first eighth of a count does not wait for the interrupt that reports this count. */
enum { HORIZON_US = 60000, LONG_AGO = -1000000000, SLACK_Q8 = 32 };

static const sc_moment beyond = {INT32_MAX, 0, false};

static sc_moment plain(int32_t in_us) { return (sc_moment){in_us, 0, false}; }

static int32_t clipped(int64_t us) { return us > HORIZON_US ? INT32_MAX : us < LONG_AGO ? LONG_AGO : (int32_t)us; }

/* From the last count onward where the belt runs forward, else from where it is now. */
static sc_moment foretell_count(const sc_core *core, int64_t edge_q8, const sc_now *now) {
    const sc_encoder_state *e = &core->encoder;
    if (now->position_q8 >= edge_q8) return plain(0);
    int64_t ahead_q8 = edge_q8 - (int64_t)((uint64_t)e->count << 8);
    if (now->period_q16 == 0 || ahead_q8 > INT32_MAX) return beyond;
    int64_t in_us = (int64_t)(((uint64_t)(uint32_t)ahead_q8 * now->period_q16) >> 24);
    if (e->count == e->peak && now->now_us > e->changed_us) in_us -= (uint32_t)(now->now_us - e->changed_us);
    return (sc_moment){clipped(in_us), (uint16_t)((uint64_t)(edge_q8 - SLACK_Q8) >> 8), true};
}

static sc_moment foretell(const sc_core *core, const sc_command *command, bool on, uint8_t gate, const sc_now *now) {
    const sc_gate_config *config = &core->config.gate[gate];
    int64_t at = on ? command->start : command->end;
    uint32_t lead_us = on ? config->opening_us : config->closing_us;
    if (command->mode == MODE_TIME) return plain(clipped(at - (int64_t)lead_us - (int64_t)now->now_us));
    return foretell_count(core, at * 256 - sc_counts_q8(now->rate_q32, lead_us), now);
}

static bool concerns(const sc_command *command, uint8_t gate) { return (command->mask & ~command->done & sc_bit(gate)) != 0; }

/* Where one command wants one gate on; false when that is out of sight or can no longer be. */
static bool window_of(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now, sc_pulse *wanted) {
    const sc_gate_config *config = &core->config.gate[gate];
    int32_t held_until_us = (int32_t)(command->begun_us + config->min_hold_us - now->now_us);
    wanted->on = plain(LONG_AGO);
    if (!(command->begun & sc_bit(gate))) {
        wanted->on = foretell(core, command, true, gate, now);
        if (wanted->on.in_us > HORIZON_US) return false;
        if (!sc_gate_may_open(core, gate, now->now_us)) {
            int32_t may_us = (int32_t)(core->gate[gate].off_us + config->min_gap_us - now->now_us);
            if (may_us - wanted->on.in_us > (int32_t)core->config.max_late_us) return false;
            if (may_us > wanted->on.in_us) wanted->on.in_us = may_us;
        }
        held_until_us = wanted->on.in_us + (int32_t)config->min_hold_us;
    }
    wanted->off = foretell(core, command, false, gate, now);
    if (wanted->off.in_us < held_until_us) wanted->off = plain(held_until_us);
    return true;
}

/* Of the windows found: the earliest, grown by all that touch it. */
static sc_pulse first_stretch(const sc_pulse *windows, uint16_t n) {
    sc_pulse stretch = windows[0];
    for (uint16_t i = 1; i < n; i++)
        if (windows[i].on.in_us < stretch.on.in_us) stretch = windows[i];
    for (bool grew = true; grew;) {
        grew = false;
        for (uint16_t i = 0; i < n; i++) {
            if (windows[i].on.in_us > stretch.off.in_us || windows[i].off.in_us <= stretch.off.in_us) continue;
            stretch.off = windows[i].off;
            grew = true;
        }
    }
    return stretch;
}

bool sc_plan(const sc_core *core, uint8_t gate, const sc_now *now, sc_pulse *pulse) {
    sc_pulse windows[SC_QUEUE];
    uint16_t n = 0;
    for (uint16_t i = 0; i < core->queued; i++) {
        const sc_command *command = &core->queue[i];
        if (concerns(command, gate) && window_of(core, command, gate, now, &windows[n])) n++;
    }
    if (n == 0) return false;
    *pulse = first_stretch(windows, n);
    pulse->is_on = (core->on & sc_bit(gate)) != 0;
    int32_t on_us = pulse->is_on ? (int32_t)(core->gate[gate].on_us - now->now_us) : pulse->on.in_us;
    int32_t hold_end_us = on_us + (int32_t)core->config.gate[gate].max_hold_us;
    if (pulse->off.in_us >= hold_end_us) pulse->off = plain(hold_end_us);
    return true;
}

/* The timer turned a gate on: for all who asked for it by now, at least for the one that comes next. */
static void begin_moved(sc_core *core, uint8_t gate, const sc_now *now) {
    sc_command *next = NULL;
    bool begun = false;
    int32_t max_late_us = (int32_t)core->config.max_late_us, next_us = max_late_us;
    for (uint16_t i = 0; i < core->queued; i++) {
        sc_command *command = &core->queue[i];
        if (!concerns(command, gate) || (command->begun & sc_bit(gate))) continue;
        int32_t on_us = foretell(core, command, true, gate, now).in_us;
        if (on_us < -max_late_us || on_us > next_us) continue;
        if (on_us <= 0) {
            sc_begin_gate(command, gate, (uint32_t)-on_us, now->now_us);
            begun = true;
        } else {
            next_us = on_us;
            next = command;
        }
    }
    if (!begun && next != NULL) sc_begin_gate(next, gate, 0, now->now_us);
}

/* The timer turned a gate off: whoever wanted it longer has lost the belt, or came too late to be heard. */
static void end_moved(sc_core *core, uint8_t gate, const sc_now *then) {
    sc_now strict = sc_now_at(core, then->now_us);
    bool held_out = then->now_us >= core->gate[gate].on_us + core->config.gate[gate].max_hold_us;
    const sc_now *now = held_out ? &strict : then; /* at maximum hold the belt may be standing */
    for (uint16_t i = core->queued; i > 0; i--) {
        sc_command *command = &core->queue[i - 1];
        if (!concerns(command, gate) || !(command->begun & sc_bit(gate))) continue;
        bool over = foretell(core, command, false, gate, now).in_us <= (int32_t)core->config.max_late_us;
        if (over) command->done |= sc_bit(gate);
        if (!over) sc_end_command(core, (uint16_t)(i - 1), held_out ? MISS_BELT_STOPPED : MISS_LATE, now->now_us);
        else if (command->done == command->mask) sc_end_command(core, (uint16_t)(i - 1), 0, now->now_us);
    }
}

void sc_moved(sc_core *core, uint32_t on, uint32_t off, uint64_t at_us) {
    if (!core->armed) return; /* disarmed meanwhile: the HAL turns everything off with the next plan */
    sc_now now = sc_then_at(core, at_us);
    sc_mask acting = (sc_mask)((core->on | on) & ~off), changed = core->on ^ acting;
    for (uint8_t g = 0; g < core->config.gates; g++) {
        if (!(changed & sc_bit(g))) continue;
        if (core->on & sc_bit(g)) end_moved(core, g, &now);
        else begin_moved(core, g, &now);
    }
    sc_gates_set(core, acting, at_us);
    core->schedule_due_us = 0;
}
