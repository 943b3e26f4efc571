/* One frame from the host, one answer. Knows the message layouts; decides nothing about gates itself. */
#include "bytes.h"
#include "internal.h"

enum {
    HELLO = 0x01, CONFIG_GATE, CONFIG_COMMIT, ARM, LEASE, SYNC, DIVERT, CANCEL, DISARM, STOP, EVT_ACK, CLEAR_FAULT, READ_CONFIG,
    TRIGGER, HELLO_R = 0x81, ACK = 0x82, CONFIG_R = 0x83, HELD_GATE = 0x84, STATUS = 0x85, SYNC_R = 0x86, ANSWER = 0x87, HELD_COMMON = 0x88
};
enum { LAST = SC_TRIGGER ? TRIGGER : READ_CONFIG };
enum { GREETING_PAUSE_US = 50000 };

static const uint8_t payload_length[] = {
    [HELLO] = 9, [CONFIG_GATE] = 24, [CONFIG_COMMIT] = 23, [ARM] = 5, [LEASE] = 6, [SYNC] = 8, [DIVERT] = 25, [CANCEL] = 4,
    [DISARM] = 0, [STOP] = 0, [EVT_ACK] = 4, [CLEAR_FAULT] = 0, [READ_CONFIG] = 1,
#if SC_TRIGGER
    [TRIGGER] = 8,
#endif
};

static void send(sc_core *core, uint8_t type, const uint8_t *payload, const uint8_t *end) {
    (void)sc_frame_send(core, type, core->session, payload, (uint8_t)(end - payload), 0);
}

static void send_ack(sc_core *core, const sc_frame *frame, sc_error error) {
    const uint8_t payload[3] = {frame->type, frame->seq, (uint8_t)error};
    send(core, ACK, payload, payload + sizeof payload);
}

void sc_status_send(sc_core *core, uint64_t now_us) {
    uint8_t payload[48], *at = payload;
    put_u32(&at, core->lease_counter);
    put_u8(&at, core->armed);
    put_u8(&at, core->permit);
    put_u8(&at, core->disarm_reason);
    put_u16(&at, core->faults);
    put_u32(&at, core->on);
    put_u16(&at, (uint16_t)(SC_QUEUE - core->queued));
    put_u16(&at, core->events_lost);
    put_u16(&at, core->crc_errors);
    put_u16(&at, core->foreign);
    put_u32(&at, core->config.crc);
    put_u64(&at, now_us);
    put_u64(&at, (uint64_t)core->encoder.count);
    send(core, STATUS, payload, at);
}

static void send_hello(sc_core *core, uint32_t nonce, uint64_t now_us) {
    uint8_t payload[56], *at = payload;
    put_u8(&at, SC_VERSION);
    put_u32(&at, nonce);
    put_u32(&at, core->boot_id);
    put_u64(&at, core->uid);
    put_u32(&at, SC_FIRMWARE_HASH);
    put_u32(&at, SC_SCHEMA_HASH);
    put_u8(&at, core->gates);
    put_u8(&at, core->has_encoder);
    put_u16(&at, SC_QUEUE);
    put_u16(&at, SC_IDS);
    put_u16(&at, SC_RING);
    put_u8(&at, core->reset_cause);
    put_u32(&at, core->config.crc);
    put_u64(&at, now_us);
    (void)sc_frame_send(core, HELLO_R, 0, payload, (uint8_t)(at - payload), 0);
}

static void greet(sc_core *core, const uint8_t *at, uint64_t now_us) {
    (void)get_u8(&at); /* the host's version: it reads ours in the answer and decides */
    uint32_t session = get_u32(&at), nonce = get_u32(&at);
    if (session == 0) return;
    if (session != core->session) {
        if (core->armed) {
            core->foreign = sc_one_more(core->foreign);
            return;
        }
        core->session = session;
        core->lease_seen = false;
        core->lease_counter = 0;
        core->encoder_report_us = now_us;
        sc_commands_forget(core);
        sc_events_restart(core, now_us);
#if SC_TRIGGER
        sc_trigger_restart(core);
#endif
    }
    send_hello(core, nonce, now_us);
}

static void commit(sc_core *core, const uint8_t *at) {
    uint8_t gate, payload[6], *end = payload;
    sc_error error = sc_config_commit(core, at, &gate);
    put_u32(&end, core->config.crc);
    put_u8(&end, (uint8_t)error);
    put_u8(&end, gate);
    send(core, CONFIG_R, payload, end);
}

static void read_config(sc_core *core, const sc_frame *frame) {
    uint8_t payload[24], gate = *frame->payload, *end = sc_config_put(core, gate, payload);
    if (end == payload) send_ack(core, frame, ERROR_ARGUMENT);
    else send(core, gate == NO_GATE ? HELD_COMMON : HELD_GATE, payload, end);
}

static void sync(sc_core *core, const uint8_t *at, uint64_t now_us) {
    uint8_t payload[32], *end = payload;
    put_u64(&end, get_u64(&at));
    put_u64(&end, now_us);
    put_u64(&end, now_us); /* queued within the same call */
    put_u64(&end, (uint64_t)core->encoder.count);
    send(core, SYNC_R, payload, end);
}

static void divert(sc_core *core, const uint8_t *at, uint64_t now_us) {
    uint8_t payload[13], *end = payload;
    sc_answer answer = sc_command_take(core, at, now_us);
    put_u32(&end, get_u32(&at));
    put_u8(&end, (uint8_t)answer);
    put_u64(&end, now_us);
    send(core, ANSWER, payload, end);
}

static void disarm(sc_core *core, const sc_frame *frame, uint64_t now_us) {
    sc_disarm_now(core, frame->type == STOP ? DISARM_STOP : DISARM_HOST, now_us);
    send_ack(core, frame, ERROR_NONE);
}

static void lease(sc_core *core, const uint8_t *at, uint64_t now_us) {
    uint32_t counter = get_u32(&at);
    bool want_armed = get_u8(&at) != 0, want_permit = get_u8(&at) != 0;
    sc_lease(core, counter, want_armed, want_permit, now_us);
    sc_status_send(core, now_us);
}

static void dispatch(sc_core *core, const sc_frame *frame, uint64_t now_us) {
    const uint8_t *at = frame->payload;
    switch (frame->type) {
    case CONFIG_GATE: send_ack(core, frame, sc_config_gate(core, at)); break;
    case CONFIG_COMMIT: commit(core, at); break;
    case ARM: {
        uint32_t crc = get_u32(&at);
        send_ack(core, frame, sc_arm(core, crc, get_u8(&at) != 0, now_us));
        break;
    }
    case LEASE: lease(core, at, now_us); break;
    case SYNC: sync(core, at, now_us); break;
    case DIVERT: divert(core, at, now_us); break;
    case CANCEL: send_ack(core, frame, sc_schedule_cancel(core, get_u32(&at), now_us)); break;
    case DISARM:
    case STOP: disarm(core, frame, now_us); break;
    case EVT_ACK: sc_events_ack(core, get_u32(&at)); break;
    case READ_CONFIG: read_config(core, frame); break;
#if SC_TRIGGER
    case TRIGGER: send_ack(core, frame, sc_trigger_set(core, at, now_us)); break;
#endif
    default: send_ack(core, frame, sc_clear_fault(core)); break; /* CLEAR_FAULT, the only one left */
    }
}

/* Not of this session. Without one, say so: after a reboot the host learns of it at its next frame. */
static void foreign(sc_core *core, uint64_t now_us) {
    core->foreign = sc_one_more(core->foreign);
    if (core->session != 0 || (core->greeted && now_us < core->greeted_us + GREETING_PAUSE_US)) return;
    core->greeted = true;
    core->greeted_us = now_us;
    send_hello(core, 0, now_us);
}

void sc_session_frame(sc_core *core, const sc_frame *frame, uint64_t now_us) {
    bool known = frame->type >= HELLO && frame->type <= LAST;
    bool fits = known && frame->length == payload_length[frame->type];
    if (frame->type == HELLO && frame->session == 0 && fits) {
        greet(core, frame->payload, now_us);
    } else if (frame->session == 0 || frame->session != core->session) {
        foreign(core, now_us);
    } else if (!fits) {
        send_ack(core, frame, known ? ERROR_ARGUMENT : ERROR_TYPE);
    } else if (frame->type != HELLO) {
        dispatch(core, frame, now_us);
    }
}
