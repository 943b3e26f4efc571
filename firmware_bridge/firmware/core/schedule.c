/* When a queued command's gates turn on and off, in device time and in counts, and what becomes of each command.
 *
 * A command's window is when the item should feel the gate; the output leads it by the gate's opening and closing delay,
 * in count mode through the measured rate. A command begins at most once; what cannot begin in time is MISSED, never late. */
#include "internal.h"

typedef enum { GOES_ON, ENDED_FIRED, ENDED_LATE } sc_fate;

static sc_now now_with(const sc_core *core, uint64_t now_us, uint32_t rate_q32) {
    sc_now now = {.position_q8 = sc_position_q8(core, now_us), .now_us = now_us, .rate_q32 = rate_q32};
    if (rate_q32 > UINT16_MAX) now.period_q16 = (uint32_t)(((uint64_t)1 << 48) / rate_q32);
    return now;
}

sc_now sc_now_at(const sc_core *core, uint64_t now_us) { return now_with(core, now_us, sc_rate_q32(core, now_us)); }

/* For a moment that has passed meanwhile: counts on the way to us are not overdue. */
sc_now sc_then_at(const sc_core *core, uint64_t then_us) { return now_with(core, then_us, core->encoder.rate_q32); }

static sc_edge_due time_edge(int64_t edge_us, uint64_t now_us) {
    int64_t late_us = (int64_t)(now_us - (uint64_t)edge_us); /* of a clock that may come to its end in between */
    sc_edge_due edge = {.at_us = (uint64_t)edge_us, .at_count = SC_NO_COUNT};
    edge.due = late_us >= 0;
    if (edge.due) edge.late_us = (uint64_t)late_us;
    return edge;
}

static sc_edge_due count_edge(const sc_core *core, int64_t edge_q8, const sc_now *now) {
    sc_edge_due edge = {.at_us = SC_NEVER, .at_count = SC_NO_COUNT};
    int64_t edge_count = edge_q8 >> 8, past_q8 = now->position_q8 - edge_q8;
    if (past_q8 >= 0) {
        edge.due = true;
        if (past_q8 > 0) edge.late_us = now->rate_q32 == 0 ? SC_NEVER : ((uint64_t)past_q8 << 24) / now->rate_q32;
    } else if (core->encoder.count < edge_count) { /* always so while no rate is known: then the edge is a whole count */
        edge.at_count = edge_count;
    } else if (core->encoder.count != core->encoder.peak) { /* dithering back: only the next count tells */
        edge.at_count = edge_count + 1;
    } else { /* within the present count */
        uint64_t fraction = (uint64_t)(edge_q8 & 255) << 24, rate = core->encoder.rate_q32;
        edge.at_us = core->encoder.changed_us + (fraction + rate - 1u) / rate;
        edge.at_count = edge_count + 1;
    }
    return edge;
}

sc_edge_due sc_on_edge(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now) {
    uint32_t lead_us = core->config.gate[gate].opening_us;
    if (command->mode == MODE_TIME) return time_edge(command->start - (int64_t)lead_us, now->now_us);
    return count_edge(core, command->start * 256 - sc_counts_q8(now->rate_q32, lead_us), now);
}

sc_edge_due sc_off_edge(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now) {
    uint32_t lead_us = core->config.gate[gate].closing_us;
    if (command->mode == MODE_TIME) return time_edge(command->end - (int64_t)lead_us, now->now_us);
    return count_edge(core, command->end * 256 - sc_counts_q8(now->rate_q32, lead_us), now);
}

static void wake_at(sc_core *core, uint64_t at_us, int64_t at_count) {
    if (at_us < core->schedule_due_us) core->schedule_due_us = at_us;
    if (at_count < core->wake_count) core->wake_count = at_count;
}

void sc_begin_gate(sc_command *command, uint8_t gate, uint32_t late_us, uint64_t now_us) {
    if (command->begun == 0) command->begun_us = now_us;
    if ((int32_t)late_us > command->error_us) command->error_us = (int32_t)late_us;
    command->begun |= sc_bit(gate);
}

/* Turns one gate of a command on if it is time; false when it is too late for that. */
static bool begin_gate(sc_core *core, sc_command *command, uint8_t gate, const sc_now *now) {
    sc_edge_due edge = sc_on_edge(core, command, gate, now);
    if (!edge.due) {
        wake_at(core, edge.at_us, edge.at_count);
        return true;
    }
    if (command->mode == MODE_COUNT && now->rate_q32 == 0) return true; /* a standing belt begins and expires nothing */
    if (core->on & sc_bit(gate)) edge.late_us = 0; /* on already, for another command */
    if (edge.late_us > core->config.max_late_us) return false;
    if (!sc_gate_may_open(core, gate, now->now_us)) {
        uint64_t too_late_us = now->now_us + core->config.max_late_us - edge.late_us + 1u;
        wake_at(core, sc_min_u64(core->gate[gate].off_us + core->config.gate[gate].min_gap_us, too_late_us), SC_NO_COUNT);
        return true;
    }
    sc_begin_gate(command, gate, (uint32_t)edge.late_us, now->now_us);
    return true;
}

static void end_gate(sc_core *core, sc_command *command, uint8_t gate, const sc_now *now) {
    sc_edge_due edge = sc_off_edge(core, command, gate, now);
    uint64_t earliest_us = command->begun_us + core->config.gate[gate].min_hold_us;
    if (!edge.due) wake_at(core, edge.at_us, edge.at_count);
    else if (now->now_us < earliest_us) wake_at(core, earliest_us, SC_NO_COUNT);
    else command->done |= sc_bit(gate);
}

static sc_fate step_command(sc_core *core, sc_command *command, const sc_now *now) {
    for (uint8_t g = 0; g < core->config.gates; g++) {
        if (!(command->mask & ~command->done & sc_bit(g))) continue;
        if (!(command->begun & sc_bit(g)) && !begin_gate(core, command, g, now)) return ENDED_LATE;
        if (command->begun & sc_bit(g)) end_gate(core, command, g, now);
    }
    return command->done == command->mask ? ENDED_FIRED : GOES_ON;
}

void sc_end_command(sc_core *core, uint16_t index, sc_miss miss, uint64_t now_us) {
    sc_command ended = core->queue[index];
    core->queue[index] = core->queue[--core->queued];
    sc_event_command(core, &ended, miss, now_us);
}

static sc_mask acting(const sc_core *core) {
    sc_mask gates = 0;
    for (uint16_t i = 0; i < core->queued; i++) gates |= (sc_mask)(core->queue[i].begun & ~core->queue[i].done);
    return gates;
}

static uint64_t hold_end_us(const sc_core *core, uint8_t gate) {
    return core->gate[gate].on_us + core->config.gate[gate].max_hold_us;
}

/* Gates that have reached their maximum hold: whatever holds them has lost its belt. */
static sc_mask held_too_long(const sc_core *core, sc_mask want, uint64_t now_us) {
    sc_mask over = 0;
    for (uint8_t g = 0; g < core->config.gates; g++)
        if ((core->on & want & sc_bit(g)) && now_us >= hold_end_us(core, g)) over |= sc_bit(g);
    return over;
}

static void end_all_acting_on(sc_core *core, sc_mask gates, uint64_t now_us) {
    for (uint16_t i = core->queued; i > 0; i--) {
        const sc_command *command = &core->queue[i - 1];
        if (command->begun & ~command->done & gates) sc_end_command(core, (uint16_t)(i - 1), MISS_BELT_STOPPED, now_us);
    }
}

void sc_schedule_run(sc_core *core, uint64_t now_us) {
    if (now_us < core->schedule_due_us) return;
    sc_now now = sc_now_at(core, now_us);
    core->schedule_due_us = SC_NEVER;
    core->wake_count = SC_NO_COUNT;
    for (uint16_t i = core->queued; i > 0; i--) {
        sc_fate fate = step_command(core, &core->queue[i - 1], &now);
        if (fate != GOES_ON) sc_end_command(core, (uint16_t)(i - 1), fate == ENDED_LATE ? MISS_LATE : 0, now_us);
    }
    sc_mask want = acting(core);
    sc_mask over = held_too_long(core, want, now_us);
    if (over) {
        end_all_acting_on(core, over, now_us);
        want = acting(core);
    }
    sc_gates_set(core, want, now_us);
    for (uint8_t g = 0; g < core->config.gates; g++)
        if (want & sc_bit(g)) wake_at(core, hold_end_us(core, g), SC_NO_COUNT);
}

/* Outputs off; every command not yet ended is reported. */
void sc_schedule_clear(sc_core *core, uint64_t now_us) {
    while (core->queued > 0) sc_end_command(core, (uint16_t)(core->queued - 1u), MISS_DISARMED, now_us);
    sc_gates_set(core, 0, now_us);
    core->schedule_due_us = SC_NEVER;
    core->wake_count = SC_NO_COUNT;
}

/* Only what has not begun; id 0 means all of it. */
sc_error sc_schedule_cancel(sc_core *core, uint32_t id, uint64_t now_us) {
    sc_error error = id == 0 ? ERROR_NONE : ERROR_UNKNOWN_ID;
    for (uint16_t i = core->queued; i > 0; i--) {
        const sc_command *command = &core->queue[i - 1];
        if (id != 0 && command->id != id) continue;
        error = command->begun && id != 0 ? ERROR_BEGUN : ERROR_NONE;
        if (!command->begun) sc_end_command(core, (uint16_t)(i - 1), MISS_CANCELLED, now_us);
    }
    return error;
}
