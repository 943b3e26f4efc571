/* Events for the host: numbered, kept until acknowledged, resent. Knows no meaning of theirs. */
#include "bytes.h"
#include "internal.h"

enum { PER_FRAME = SC_EVENTS_PER_FRAME, RESEND_FRAMES = 4, RESEND_US = 10000, MESSAGE_EVENTS = 0x90, EVENT_BYTES = 26 };

void sc_event_push(sc_core *core, sc_event event) {
    if (core->ring_used == SC_RING) {
        core->events_lost = sc_one_more(core->events_lost);
        return;
    }
    core->ring[(core->ring_first + core->ring_used) % SC_RING] = event;
    core->ring_used++;
    core->events_fresh = true;
}

/* FIRED when `miss` is 0. */
void sc_event_command(sc_core *core, const sc_command *command, sc_miss miss, uint64_t now_us) {
    sc_event event = {.kind = EVENT_FIRED, .id = command->id, .on = command->begun_us, .off = now_us, .extra = command->error_us};
    if (miss != 0) {
        event.kind = EVENT_MISSED;
        event.on = now_us;
        event.off = (uint64_t)core->encoder.count;
        event.extra = (int32_t)miss;
    }
    sc_event_push(core, event);
}

/* Room for one more besides a report for every command taken and three of our own (disarmed, fault, input). */
bool sc_event_room(const sc_core *core) { return core->ring_used + core->queued + 4u <= SC_RING; }

void sc_events_ack(sc_core *core, uint32_t seq) {
    uint32_t done = seq - core->first_seq + 1u;
    if (done > core->ring_used) return; /* of another life, or already gone */
    core->first_seq += done;
    core->ring_first = (uint16_t)((core->ring_first + done) % SC_RING);
    core->ring_used = (uint16_t)(core->ring_used - done);
    core->ring_sent = (uint16_t)(core->ring_sent > done ? core->ring_sent - done : 0);
}

/* Events skip .. (up to three); returns how many went out. */
static uint16_t send_from(sc_core *core, uint16_t skip) {
    uint8_t payload[5 + PER_FRAME * EVENT_BYTES], *at = payload;
    uint16_t n = (uint16_t)(core->ring_used - skip);
    if (n > PER_FRAME) n = PER_FRAME;
    put_u32(&at, core->first_seq + skip);
    put_u8(&at, (uint8_t)n);
    for (uint16_t i = 0; i < n; i++) {
        const sc_event *event = &core->ring[(core->ring_first + skip + i) % SC_RING];
        put_u8(&at, event->kind);
        put_u8(&at, 0);
        put_u32(&at, event->id);
        put_u64(&at, event->on);
        put_u64(&at, event->off);
        put_u32(&at, (uint32_t)event->extra);
    }
    bool sent = sc_frame_send(core, MESSAGE_EVENTS, core->session, payload, (uint8_t)(at - payload), SC_TX_RESERVE);
    return sent ? n : 0;
}

/* New ones at once; without an acknowledgement the oldest few again every 10 ms. */
void sc_events_pump(sc_core *core, uint64_t now_us) {
    if (core->session == 0 || core->ring_used == 0) return;
    core->events_fresh = false;
    bool again = now_us >= core->resend_us;
    if (again || core->ring_sent == 0) core->resend_us = now_us + RESEND_US;
    uint16_t skip = 0, n;
    for (uint8_t frame = 0; again && frame < RESEND_FRAMES && skip < core->ring_sent; frame++)
        skip = (uint16_t)(skip + send_from(core, skip));
    if (skip < core->ring_sent) skip = core->ring_sent;
    while (skip < core->ring_used && (n = send_from(core, skip)) > 0) skip = (uint16_t)(skip + n);
    core->ring_sent = skip;
}

/* A new session: nothing of the old one is told. */
void sc_events_restart(sc_core *core, uint64_t now_us) {
    core->ring_used = core->ring_sent = core->ring_first = 0;
    core->first_seq = 1;
    sc_event_push(core, (sc_event){.kind = EVENT_BOOT, .id = core->boot_id, .on = now_us, .extra = core->reset_cause});
}
