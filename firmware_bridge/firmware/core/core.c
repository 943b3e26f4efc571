/* The core as its HAL sees it: boot, bytes, ticks, and when the next tick is due. */
#include "internal.h"

enum { LOOK_AGAIN_US = 500 };

uint32_t sc_size(void) { return (uint32_t)sizeof(sc_core); }

void sc_init(sc_core *core, uint64_t uid, uint32_t boot_id, uint8_t reset_cause, uint8_t gates, uint8_t has_encoder) {
    memset(core, 0, sizeof *core);
    core->uid = uid;
    core->boot_id = boot_id;
    core->reset_cause = reset_cause;
    core->gates = gates > SC_GATES ? SC_GATES : gates;
    core->has_encoder = has_encoder != 0;
    core->disarm_reason = DISARM_BOOT;
    core->schedule_due_us = SC_NEVER;
    core->wake_count = SC_NO_COUNT;
}

void sc_receive(sc_core *core, const uint8_t *data, uint32_t length, uint64_t now_us) {
    sc_frame frame = {0};
    for (uint32_t i = 0; i < length; i++)
        if (sc_frame_byte(core, data[i], &frame)) sc_session_frame(core, &frame, now_us);
}

uint32_t sc_transmit(sc_core *core, uint8_t *out, uint32_t max) {
    uint32_t n = 0;
    while (n < max && core->tx_used > 0) {
        out[n++] = core->tx[core->tx_first];
        core->tx_first = (uint16_t)((core->tx_first + 1u) % SC_TX);
        core->tx_used--;
    }
    return n;
}

void sc_link_reset(sc_core *core) {
    core->tx_first = core->tx_used = 0;
    core->rx_length = core->rx_code = core->rx_left = 0;
    core->rx_broken = core->rx_any = false;
}

void sc_tick_gates(sc_core *core, uint64_t now_us) {
    core->ticked_us = now_us;
    sc_duty_tick(core, now_us);
    sc_control_tick(core, now_us);
    sc_schedule_run(core, now_us);
#if SC_TRIGGER
    sc_trigger_tick(core, now_us);
#endif
}

void sc_tick(sc_core *core, uint64_t now_us) {
    sc_tick_gates(core, now_us);
    sc_encoder_report(core, now_us);
    sc_events_pump(core, now_us);
}

/* When the belt, at its present rate, reaches the count a command waits for. A belt that did not come as foretold is looked
 * for again soon; one that stands, only when it counts. */
static uint64_t wake_count_us(const sc_core *core) {
    const sc_encoder_state *e = &core->encoder;
    uint64_t counts = (uint64_t)core->wake_count - (uint64_t)e->count; /* has it been reached, sc_encoder has said so */
    if (counts >= (uint64_t)UINT32_MAX || sc_rate_q32(core, core->ticked_us) == 0) return SC_NEVER;
    uint64_t foretold_us = e->changed_us + (counts << 32) / e->rate_q32;
    return foretold_us > core->ticked_us ? foretold_us : core->ticked_us + LOOK_AGAIN_US;
}

uint64_t sc_next_edge_us(const sc_core *core) {
    uint64_t due = sc_min_u64(core->schedule_due_us, wake_count_us(core));
#if SC_TRIGGER
    due = sc_min_u64(due, sc_trigger_due_us(core));
#endif
    return core->armed ? sc_min_u64(due, core->lease_until_us) : due;
}

uint64_t sc_next_due_us(const sc_core *core) {
    uint64_t due = sc_next_edge_us(core);
    if (core->session == 0) return due;
    if (core->has_encoder) due = sc_min_u64(due, core->encoder_report_us);
    if (core->ring_used > 0) due = sc_min_u64(due, core->events_fresh ? 0 : core->resend_us);
    return due;
}

int64_t sc_wake_count(const sc_core *core) { return core->wake_count; }

uint32_t sc_outputs(const sc_core *core) { return core->on; }

uint32_t sc_levels(const sc_core *core) {
    uint32_t levels = core->on;
    for (uint8_t g = 0; g < core->config.gates; g++)
        if (core->config.gate[g].safe_level) levels ^= (uint32_t)1 << g;
    return levels;
}

uint8_t sc_configured(const sc_core *core) { return core->config.crc != 0; }
uint8_t sc_permit(const sc_core *core) { return core->permit; }
uint8_t sc_armed(const sc_core *core) { return core->armed; }
uint8_t sc_disarm_reason(const sc_core *core) { return core->disarm_reason; }
int64_t sc_count(const sc_core *core) { return core->encoder.count; }

uint32_t sc_take_edges(sc_core *core, int64_t *rows, uint32_t max) {
    uint32_t n = 0;
    for (; n < max && core->edge_used > 0; n++) {
        const sc_edge *edge = &core->edge[core->edge_first];
        *rows++ = edge->gate;
        *rows++ = edge->on;
        *rows++ = (int64_t)edge->at_us;
        *rows++ = edge->count;
        core->edge_first = (uint16_t)((core->edge_first + 1u) % SC_EDGES);
        core->edge_used--;
    }
    return n;
}

uint32_t sc_waiting(const sc_core *core) { return (core->edge_used > 0 ? 1u : 0u) | (core->tx_used > 0 ? 2u : 0u); }

uint32_t sc_edges_lost(const sc_core *core) { return core->edges_lost; }
