/* A camera's trigger output: pulses at an even pace, each told with its number, its device time and the belt's count, so that a
 * picture's moment is known on the device's own clock. Has nothing to do with gates or arming; ends with the session. */
#include "bytes.h"
#include "internal.h"

#if SC_TRIGGER

enum { PERIOD_MIN_US = 1000, PERIOD_MAX_US = 10000000, PULSE_MIN_US = 10 };

/* period 0: off. Numbers go on counting within a session. */
sc_error sc_trigger_set(sc_core *core, const uint8_t *payload, uint64_t now_us) {
    uint32_t period_us = get_u32(&payload), pulse_us = get_u32(&payload);
    bool sound = period_us >= PERIOD_MIN_US && period_us <= PERIOD_MAX_US && pulse_us >= PULSE_MIN_US && pulse_us < period_us;
    if (period_us != 0 && !sound) return ERROR_ARGUMENT;
    core->trigger.period_us = period_us;
    core->trigger.pulse_us = pulse_us;
    core->trigger.due_us = now_us;
    core->trigger.on = false;
    return ERROR_NONE;
}

void sc_trigger_restart(sc_core *core) { core->trigger = (sc_trigger_state){0}; }

static void pulse(sc_core *core, uint64_t now_us) {
    sc_trigger_state *t = &core->trigger;
    t->on = true;
    t->off_us = now_us + t->pulse_us;
    t->number++;
    uint64_t late_us = now_us - t->due_us;
    t->due_us += t->period_us + late_us - late_us % t->period_us; /* the pace is kept; what was slept through is left out */
    if (!sc_event_room(core)) return; /* never in the place of a command's report: the numbers show the hole */
    uint64_t count = (uint64_t)core->encoder.count;
    sc_event_push(core, (sc_event){.kind = EVENT_TRIGGER, .id = t->number, .on = now_us, .off = count});
}

void sc_trigger_tick(sc_core *core, uint64_t now_us) {
    sc_trigger_state *t = &core->trigger;
    if (t->on && now_us >= t->off_us) t->on = false;
    if (t->period_us != 0 && now_us >= t->due_us) pulse(core, now_us);
}

uint64_t sc_trigger_due_us(const sc_core *core) {
    const sc_trigger_state *t = &core->trigger;
    uint64_t due_us = t->period_us != 0 ? t->due_us : SC_NEVER;
    return t->on ? sc_min_u64(due_us, t->off_us) : due_us;
}

uint8_t sc_trigger(const sc_core *core) { return core->trigger.on; }
uint32_t sc_trigger_number(const sc_core *core) { return core->trigger.number; }

#endif
