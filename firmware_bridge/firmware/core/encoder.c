/* Where the belt is and how fast it moves, from counts and the moments they were reached.
 *
 * The rate is the slope of the newest 8 ms carried forward by the change against the 8 ms before, so that a belt that
 * speeds up is not seen late; a change below 0.4 % is noise of the stamps, and both halves together tell the rate better.
 * Only progress beyond the farthest count is motion: dither on the spot is none. */
#include "bytes.h"
#include "internal.h"

enum { STEADY_SHIFT = 8, HALF_WINDOW_US = SC_HALF_WINDOW_US, STANDSTILL_US = 150000, DITHER_COUNTS = 4, REPORT_US = 8000, PATIENCE_US = 2000, MESSAGE_ENCODER = 0x91 };

static uint32_t slope_q32(const sc_rate_sample *old, const sc_rate_sample *new) {
    uint64_t slope = ((uint64_t)(uint32_t)(new->count - old->count) << 32) / (uint32_t)(new->at_us - old->at_us);
    return slope > UINT32_MAX ? UINT32_MAX : (uint32_t)slope;
}

/* The nearest sample at least half a window before `from`, else the oldest. */
static uint8_t half_window_back(const sc_encoder_state *e, uint8_t from) {
    uint8_t at = from;
    while (at > 0 && (uint32_t)(e->sample[from].at_us - e->sample[at].at_us) < HALF_WINDOW_US) at--;
    return at;
}

static uint32_t estimate(const sc_encoder_state *e) {
    if (e->samples < 2) return 0;
    uint8_t newest = (uint8_t)(e->samples - 1), middle = half_window_back(e, newest), oldest = half_window_back(e, middle);
    uint32_t rate = slope_q32(&e->sample[middle], &e->sample[newest]);
    if (oldest == middle) return rate;
    int64_t change = (int64_t)rate - slope_q32(&e->sample[oldest], &e->sample[middle]);
    if ((change < 0 ? -change : change) <= (int64_t)(rate >> STEADY_SHIFT)) return slope_q32(&e->sample[oldest], &e->sample[newest]);
    uint32_t recent_us = e->sample[newest].at_us - e->sample[middle].at_us;
    uint32_t whole_us = e->sample[newest].at_us - e->sample[oldest].at_us;
    int64_t now = (int64_t)rate + change * (int64_t)(recent_us >> 4) / (int64_t)((whole_us >> 4) + 1u);
    if (now < rate / 2) now = rate / 2;
    return now > UINT32_MAX ? UINT32_MAX : (uint32_t)now;
}

static void take_sample(sc_core *core, uint64_t at_us) {
    sc_encoder_state *e = &core->encoder;
    uint32_t low_us = (uint32_t)at_us;
    if (e->samples > 0 && (uint32_t)(low_us - e->sample[e->samples - 1].at_us) < SC_RATE_SPACING_US) return;
    if (e->samples == SC_RATE_SAMPLES) {
        memmove(e->sample, e->sample + 1, sizeof e->sample - sizeof e->sample[0]);
        e->samples--;
    }
    e->sample[e->samples].at_us = low_us;
    e->sample[e->samples++].count = (int32_t)e->count;
    e->rate_q32 = estimate(e);
    if (e->rate_q32 > 0) e->last_moving_q32 = e->rate_q32;
    core->schedule_due_us = 0; /* every lead has changed */
}

#if SC_STAMP_JITTER_US > 0
/* A stamp taken in an interrupt is late by what ran before it, never early: a little late is mostly that. */
static uint64_t without_jitter(sc_encoder_state *e, uint64_t at_us, int64_t count) {
    uint32_t counts = (uint32_t)(count - e->peak), since_us = (uint32_t)(at_us - e->changed_us);
    if (e->samples < 3 || counts > UINT16_MAX) return at_us;
    if (e->period_of_q32 != e->rate_q32) {
        e->period_of_q32 = e->rate_q32;
        e->period_q8 = (uint32_t)(((uint64_t)1 << 40) / e->rate_q32);
    }
    int32_t late_us = (int32_t)(since_us - ((counts * e->period_q8) >> 8));
    return late_us > 0 && late_us < SC_STAMP_JITTER_US ? at_us - (uint32_t)(late_us - late_us / 4) : at_us;
}
#endif

void sc_encoder(sc_core *core, uint64_t at_us, int64_t count) {
    sc_encoder_state *e = &core->encoder;
    if (count == e->count) return;
    e->count = count;
    if (count >= core->wake_count) core->schedule_due_us = 0;
    bool reversed = count <= e->peak - DITHER_COUNTS;
    if (!reversed && count <= e->peak) return;
    if (reversed || at_us - e->changed_us > STANDSTILL_US) {
        e->samples = 0;
        e->rate_q32 = 0;
    }
#if SC_STAMP_JITTER_US > 0
    if (!reversed && e->rate_q32 > UINT16_MAX) at_us = without_jitter(e, at_us, count);
#endif
    e->peak = count;
    e->changed_us = at_us;
    if (!reversed) take_sample(core, at_us);
}

/* 0: the belt stands. A count that is overdue says the belt has become slower than measured, unless the HAL may just not
 * have looked yet. */
uint32_t sc_rate_q32(const sc_core *core, uint64_t now_us) {
    const sc_encoder_state *e = &core->encoder;
    uint64_t silent_us = now_us > e->changed_us ? now_us - e->changed_us : 0;
    if (silent_us > STANDSTILL_US) return 0;
    uint64_t missing_q32 = silent_us * e->rate_q32;
    if (silent_us < PATIENCE_US || missing_q32 < (5ull << 32) / 4) return e->rate_q32;
    return (uint32_t)((1ull << 32) / silent_us);
}

/* For checks ahead of time: the last motion while the belt stands. 0: it has never moved. */
uint32_t sc_planning_rate_q32(const sc_core *core, uint64_t now_us) {
    uint32_t rate = sc_rate_q32(core, now_us);
    return rate > 0 ? rate : core->encoder.last_moving_q32;
}

/* Between two counts the belt is carried on by its rate, never past the next count. */
int64_t sc_position_q8(const sc_core *core, uint64_t now_us) {
    const sc_encoder_state *e = &core->encoder;
    int64_t position = (int64_t)((uint64_t)e->count << 8);
    if (e->count != e->peak || now_us <= e->changed_us) return position;
    uint64_t silent_us = now_us - e->changed_us;
    uint64_t fraction = silent_us > STANDSTILL_US ? 255 : (silent_us * e->rate_q32) >> 24;
    return position + (int64_t)(fraction > 255 ? 255 : fraction);
}

void sc_encoder_report(sc_core *core, uint64_t now_us) {
    if (!core->has_encoder || core->session == 0 || now_us < core->encoder_report_us) return;
    const sc_encoder_state *e = &core->encoder;
    bool news = e->count == e->peak && e->changed_us > core->encoder_told_us;
    uint64_t at_us = news ? e->changed_us : now_us;
    uint8_t payload[16], *at = payload;
    put_u64(&at, (uint64_t)e->count);
    put_u64(&at, at_us);
    if (sc_frame_send(core, MESSAGE_ENCODER, core->session, payload, sizeof payload, SC_TX_RESERVE)) core->encoder_told_us = at_us;
    core->encoder_report_us = now_us + REPORT_US;
}
