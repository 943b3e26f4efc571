/* Armed or not, and why: arming, lease, permit, E-stop, faults. The only file that arms; everything may disarm. */
#include "internal.h"

enum { ENCODER_SILENT_US = 250000, DIFFERS_US = 2000 };

static const uint32_t US_PER_MS = 1000;

/* Outputs off at once, every queued command reported, permit dropped. */
void sc_disarm_now(sc_core *core, sc_disarm reason, uint64_t now_us) {
    bool was = core->armed;
    core->armed = core->permit = false;
    sc_schedule_clear(core, now_us);
    if (!was) return;
    core->disarm_reason = (uint8_t)reason;
    uint64_t count = (uint64_t)core->encoder.count;
    sc_event_push(core, (sc_event){.kind = EVENT_DISARMED, .on = now_us, .off = count, .extra = (int32_t)reason});
    sc_status_send(core, now_us);
}

sc_error sc_arm(sc_core *core, uint32_t crc, bool permit, uint64_t now_us) {
    if (core->estop) return ERROR_ESTOP;
    if (core->faults != 0) return ERROR_FAULT;
    if (core->config.crc == 0 || crc != core->config.crc) return ERROR_CRC;
    if (!core->armed) core->lease_until_us = now_us + core->config.lease_ms * US_PER_MS;
    core->armed = true;
    core->disarm_reason = 0;
    core->permit = permit;
    return ERROR_NONE;
}

void sc_lease(sc_core *core, uint32_t counter, bool want_armed, bool want_permit, uint64_t now_us) {
    int32_t ahead = core->lease_seen ? (int32_t)(counter - core->lease_counter) : 1;
    if (ahead > 0) {
        core->lease_seen = true;
        core->lease_counter = counter;
        core->lease_until_us = now_us + core->config.lease_ms * US_PER_MS;
        if (core->armed && !want_armed) sc_disarm_now(core, DISARM_HOST, now_us);
        core->permit = core->armed && want_permit;
    } else if (ahead == 0) {
        core->permit = core->permit && want_permit;
    }
}

sc_error sc_clear_fault(sc_core *core) {
    if (core->armed) return ERROR_ARMED;
    core->faults = 0;
    return ERROR_NONE;
}

static void fault(sc_core *core, uint16_t bit, uint8_t gate, uint64_t now_us) {
    core->faults |= bit;
    uint64_t count = (uint64_t)core->encoder.count;
    sc_event_push(core, (sc_event){.kind = EVENT_FAULT, .id = gate, .on = now_us, .off = count, .extra = bit});
    sc_disarm_now(core, DISARM_FAULT, now_us);
}

static bool encoder_silent(const sc_core *core, uint64_t now_us) {
    if (!core->belt_running || !core->has_encoder || core->config.nm_per_count == 0) return false;
    uint64_t since_us = core->encoder.changed_us;
    if (since_us < core->belt_running_since_us) since_us = core->belt_running_since_us;
    return now_us > since_us + ENCODER_SILENT_US;
}

void sc_control_tick(sc_core *core, uint64_t now_us) {
    if (!core->armed) return;
    if ((int64_t)(now_us - core->lease_until_us) >= 0) sc_disarm_now(core, DISARM_LEASE, now_us); /* across a wrap, too */
    else if (encoder_silent(core, now_us)) fault(core, FAULT_ENCODER_SILENT, 0, now_us);
}

/* A pin may take a moment to follow; one that does not is stuck, shorted or not ours. */
void sc_output_differs(sc_core *core, uint32_t gates, uint64_t now_us) {
    if (gates == 0 || (core->faults & FAULT_OUTPUT) || !sc_configured(core)) core->differs_since_us = now_us;
    if (now_us - core->differs_since_us < DIFFERS_US) return;
    uint8_t gate = 0;
    while (!(gates >> gate & 1u)) gate++;
    fault(core, FAULT_OUTPUT, gate, now_us);
}

void sc_set_input(sc_core *core, uint8_t pin, uint8_t level, uint64_t now_us) {
    bool high = level != 0;
    if (pin == SC_PIN_ESTOP) core->estop = high;
    if (pin == SC_PIN_BELT_RUNNING) {
        if (high && !core->belt_running) core->belt_running_since_us = now_us;
        core->belt_running = high;
    }
    uint64_t count = (uint64_t)core->encoder.count;
    if ((pin == SC_PIN_ESTOP && core->armed) || sc_event_room(core))
        sc_event_push(core, (sc_event){.kind = EVENT_INPUT, .id = pin, .on = now_us, .off = count, .extra = high});
    if (core->estop && core->armed) sc_disarm_now(core, DISARM_ESTOP, now_us);
}
