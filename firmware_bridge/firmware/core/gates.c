/* Outputs, their edges, and what each gate has done lately (for gap and duty). Knows no command. */
#include "internal.h"

enum { DUTY_PART_US = 10000000 / SC_DUTY_BUCKETS, DUTY_UNIT_US = DUTY_PART_US / 50000 };

static void record_edge(sc_core *core, uint8_t gate, bool on, uint64_t now_us) {
    if (core->edge_used == SC_EDGES) {
        core->edges_lost++;
        return;
    }
    sc_edge *edge = &core->edge[(core->edge_first + core->edge_used) % SC_EDGES];
    core->edge_used++;
    edge->at_us = now_us;
    edge->count = core->encoder.count;
    edge->gate = gate;
    edge->on = on;
}

/* On time since `since`, or since this part of the history began. */
static void account(sc_core *core, uint8_t gate, uint64_t now_us) {
    uint64_t begun = core->duty_part_ends_us - (uint32_t)DUTY_PART_US, since = core->gate[gate].on_us;
    uint64_t from = since > begun ? since : begun;
    if (now_us > from) core->gate[gate].duty[core->duty_bucket] += (uint16_t)((now_us - from) / DUTY_UNIT_US);
}

void sc_gates_set(sc_core *core, sc_mask want, uint64_t now_us) {
    sc_mask changed = core->on ^ want;
    sc_duty_tick(core, now_us);
    for (uint8_t g = 0; changed != 0; g++, changed >>= 1) {
        if (!(changed & 1u)) continue;
        bool on = (want & sc_bit(g)) != 0;
        if (on) {
            core->gate[g].on_us = now_us;
        } else {
            account(core, g, now_us);
            core->gate[g].off_us = now_us;
            core->gate[g].was_on = true;
        }
        record_edge(core, g, on, now_us);
    }
    core->on = want;
}

/* False while a gate that is off owes its minimum gap. */
bool sc_gate_may_open(const sc_core *core, uint8_t gate, uint64_t now_us) {
    const sc_gate *state = &core->gate[gate];
    if ((core->on & sc_bit(gate)) || !state->was_on) return true;
    return now_us >= state->off_us + core->config.gate[gate].min_gap_us;
}

/* Opens new parts in the history of every gate. After a leap of the clock (or its wrap) the history begins anew: it would
 * otherwise be walked through part by part. */
void sc_duty_tick(sc_core *core, uint64_t now_us) {
    uint64_t overdue_us = now_us - core->duty_part_ends_us;
    if (overdue_us < (uint64_t)INT64_MAX && overdue_us > 2u * (uint64_t)DUTY_PART_US * SC_DUTY_BUCKETS) {
        for (uint8_t g = 0; g < core->gates; g++) memset(core->gate[g].duty, 0, sizeof core->gate[g].duty);
        core->duty_part_ends_us = now_us + (uint32_t)DUTY_PART_US;
    }
    while ((int64_t)(now_us - core->duty_part_ends_us) >= 0) {
        for (uint8_t g = 0; g < core->gates; g++)
            if (core->on & sc_bit(g)) account(core, g, core->duty_part_ends_us);
        core->duty_bucket = (uint8_t)((core->duty_bucket + 1u) % SC_DUTY_BUCKETS);
        for (uint8_t g = 0; g < core->gates; g++) core->gate[g].duty[core->duty_bucket] = 0;
        core->duty_part_ends_us += DUTY_PART_US;
    }
}

/* On time over the last ten seconds, without a pulse in progress. */
uint32_t sc_duty_used_us(const sc_core *core, uint8_t gate) {
    uint32_t units = 0;
    for (uint8_t i = 0; i < SC_DUTY_BUCKETS; i++) units += core->gate[gate].duty[i];
    return units * DUTY_UNIT_US;
}
