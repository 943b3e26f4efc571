/* The core's state and what its files offer each other. Knows every struct; no HAL includes it. */
#ifndef STATION_CORE_INTERNAL_H
#define STATION_CORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "sizes.h"
#include "station_core.h"

#define SC_NEVER UINT64_MAX
#define SC_NO_COUNT INT64_MAX
#define SC_VERSION 1u
#define SC_SCHEMA_HASH 0x7F0B7EE4u /* CRC-32 of "station-wire/1 r3"; checked by the tests */

#if SC_GATES <= 8
typedef uint8_t sc_mask;
#else
typedef uint32_t sc_mask;
#endif

enum { MODE_TIME = 0, MODE_COUNT = 1 };

enum { NO_GATE = 255 }; /* in a configuration: its common values */

typedef enum {
    ANSWER_QUEUED = 0,
    ANSWER_LATE,
    ANSWER_FAR,
    ANSWER_FULL,
    ANSWER_GATE_LIMIT,
    ANSWER_NOT_ARMED,
    ANSWER_ID_CONFLICT,
    ANSWER_BAD_ARGUMENT
} sc_answer;

typedef enum { MISS_LATE = 1, MISS_CANCELLED, MISS_DISARMED, MISS_BELT_STOPPED } sc_miss;

typedef enum {
    DISARM_BOOT = 1,
    DISARM_HOST,
    DISARM_STOP,
    DISARM_LEASE,
    DISARM_ESTOP,
    DISARM_FAULT
} sc_disarm;

typedef enum {
    ERROR_NONE = 0,
    ERROR_ARGUMENT,
    ERROR_CRC,
    ERROR_ARMED,
    ERROR_NOT_ARMED,
    ERROR_FAULT,
    ERROR_ESTOP,
    ERROR_TYPE,
    ERROR_BEGUN,
    ERROR_UNKNOWN_ID
} sc_error;

typedef enum {
    EVENT_FIRED = 1,
    EVENT_MISSED,
    EVENT_DISARMED,
    EVENT_INPUT,
    EVENT_TRIGGER,
    EVENT_BOOT,
    EVENT_FAULT
} sc_event_kind;

enum { FAULT_ENCODER_SILENT = 1, FAULT_OUTPUT = 2 };

typedef struct {
    uint8_t safe_level;
    uint16_t max_duty_permille;
    uint32_t min_hold_us, max_hold_us, min_gap_us, opening_us, closing_us;
} sc_gate_config;

typedef struct {
    sc_gate_config gate[SC_GATES];
    uint8_t gates;
    uint16_t lease_ms;
    uint32_t max_late_us, nm_per_count, far_ms, far_count;
    uint32_t crc; /* 0: nothing committed */
} sc_config;

typedef struct {
    uint32_t id;
    uint8_t mode;
    sc_mask mask, begun, done; /* a gate acts while begun and not done */
    int32_t error_us;          /* on edge minus due, the worst of its gates */
    int64_t start, end;
    uint64_t begun_us;
} sc_command;

typedef struct {
    uint32_t id, arguments; /* CRC-32 of everything but the id */
    uint8_t answer;
} sc_remembered;

typedef struct {
    uint8_t kind;
    uint32_t id;
    uint64_t on, off;
    int32_t extra;
} sc_event;

typedef struct {
    uint64_t at_us;
    int64_t count;
    uint8_t gate, on;
} sc_edge;

typedef struct {
    uint64_t on_us, off_us;
    bool was_on;
    uint16_t duty[SC_DUTY_BUCKETS]; /* on time per part of the ten seconds, in units of DUTY_UNIT_US */
} sc_gate;

typedef struct {
    uint32_t at_us;
    int32_t count;
} sc_rate_sample;

typedef struct {
    int64_t count, peak;   /* peak: the farthest forward, so that dither is not motion */
    uint64_t changed_us;   /* when the peak was reached */
    uint32_t rate_q32;     /* counts per us x 2^32 at changed_us */
    uint32_t last_moving_q32;
    sc_rate_sample sample[SC_RATE_SAMPLES]; /* oldest first */
    uint8_t samples;
#if SC_STAMP_JITTER_US > 0
    uint32_t period_q8, period_of_q32; /* us per count x 256, of that rate */
#endif
} sc_encoder_state;

#if SC_TRIGGER
typedef struct {
    uint32_t period_us, pulse_us, number; /* period 0: off */
    uint64_t due_us, off_us;
    bool on;
} sc_trigger_state;
#endif

struct sc_core {
    uint64_t uid;
    uint32_t boot_id;
    uint8_t reset_cause, gates, has_encoder;

    sc_config config;
    bool armed, permit, estop;
    uint8_t disarm_reason;
    uint16_t faults;
    uint64_t lease_until_us;
    uint32_t lease_counter;
    bool lease_seen, belt_running;
    uint64_t belt_running_since_us, differs_since_us;

    uint32_t session;
    uint16_t crc_errors, foreign;
    uint64_t greeted_us;
    bool greeted;

    sc_command queue[SC_QUEUE];
    uint16_t queued;
    uint64_t ticked_us;       /* the last tick */
    uint64_t schedule_due_us; /* 0: look again at once */
    int64_t wake_count;
    sc_remembered remembered[SC_IDS];
    uint16_t remembered_count, remembered_next;

    sc_gate gate[SC_GATES];
    sc_mask on;
    uint64_t duty_part_ends_us;
    uint8_t duty_bucket;

    sc_encoder_state encoder;
    uint64_t encoder_report_us;
    uint64_t encoder_told_us;

#if SC_TRIGGER
    sc_trigger_state trigger;
#endif

    sc_event ring[SC_RING];
    uint16_t ring_first, ring_used, ring_sent;
    uint32_t first_seq;
    uint16_t events_lost;
    uint64_t resend_us;
    bool events_fresh; /* pushed since the last pump */

    sc_edge edge[SC_EDGES];
    uint16_t edge_first, edge_used;
    uint32_t edges_lost;

    uint8_t rx[SC_FRAME];
    uint8_t rx_length, rx_code, rx_left;
    bool rx_broken, rx_any;
    uint8_t tx[SC_TX];
    uint16_t tx_first, tx_used;
    uint8_t tx_seq;
};

/* bytes.h has put/get; frame.c */
typedef struct {
    uint8_t type, seq;
    uint32_t session;
    const uint8_t *payload;
    uint8_t length;
} sc_frame;

uint32_t sc_crc32(uint32_t crc, const uint8_t *data, uint32_t length);
bool sc_frame_byte(sc_core *core, uint8_t byte, sc_frame *frame);
bool sc_frame_send(sc_core *core, uint8_t type, uint32_t session, const uint8_t *payload, uint8_t length, uint16_t keep_free);

/* session.c, control.c */
void sc_session_frame(sc_core *core, const sc_frame *frame, uint64_t now_us);
void sc_status_send(sc_core *core, uint64_t now_us);
void sc_disarm_now(sc_core *core, sc_disarm reason, uint64_t now_us);
sc_error sc_arm(sc_core *core, uint32_t crc, bool permit, uint64_t now_us);
void sc_lease(sc_core *core, uint32_t counter, bool want_armed, bool want_permit, uint64_t now_us);
sc_error sc_clear_fault(sc_core *core);
void sc_control_tick(sc_core *core, uint64_t now_us);

/* config.c */
sc_error sc_config_gate(sc_core *core, const uint8_t *payload);
sc_error sc_config_commit(sc_core *core, const uint8_t *payload, uint8_t *bad_gate);
uint8_t *sc_config_put(const sc_core *core, uint8_t gate, uint8_t *at);

/* encoder.c: positions and leads are counts x 256 */
uint32_t sc_rate_q32(const sc_core *core, uint64_t now_us);
uint32_t sc_planning_rate_q32(const sc_core *core, uint64_t now_us);
int64_t sc_position_q8(const sc_core *core, uint64_t now_us);
void sc_encoder_report(sc_core *core, uint64_t now_us);

/* schedule.c */
typedef struct {
    bool due;
    uint64_t late_us; /* when due */
    uint64_t at_us;   /* when not: look again then, or at at_count */
    int64_t at_count;
} sc_edge_due;

sc_now sc_then_at(const sc_core *core, uint64_t then_us);
sc_edge_due sc_on_edge(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now);
sc_edge_due sc_off_edge(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now);
void sc_schedule_run(sc_core *core, uint64_t now_us);
void sc_begin_gate(sc_command *command, uint8_t gate, uint32_t late_us, uint64_t now_us);
void sc_end_command(sc_core *core, uint16_t index, sc_miss miss, uint64_t now_us);
void sc_schedule_clear(sc_core *core, uint64_t now_us);
sc_error sc_schedule_cancel(sc_core *core, uint32_t id, uint64_t now_us);

/* commands.c, limits.c */
sc_answer sc_command_take(sc_core *core, const uint8_t *payload, uint64_t now_us);
void sc_commands_forget(sc_core *core);
bool sc_within_limits(const sc_core *core, const sc_command *command, uint8_t gate, const sc_now *now);

/* gates.c */
void sc_gates_set(sc_core *core, sc_mask want, uint64_t now_us);
bool sc_gate_may_open(const sc_core *core, uint8_t gate, uint64_t now_us);
void sc_duty_tick(sc_core *core, uint64_t now_us);
uint32_t sc_duty_used_us(const sc_core *core, uint8_t gate);

/* trigger.c */
#if SC_TRIGGER
sc_error sc_trigger_set(sc_core *core, const uint8_t *payload, uint64_t now_us);
void sc_trigger_restart(sc_core *core);
void sc_trigger_tick(sc_core *core, uint64_t now_us);
uint64_t sc_trigger_due_us(const sc_core *core);
#endif

/* events.c */
void sc_event_push(sc_core *core, sc_event event);
void sc_event_command(sc_core *core, const sc_command *command, sc_miss miss, uint64_t now_us);
bool sc_event_room(const sc_core *core);
void sc_events_ack(sc_core *core, uint32_t seq);
void sc_events_pump(sc_core *core, uint64_t now_us);
void sc_events_restart(sc_core *core, uint64_t now_us);

static inline sc_mask sc_bit(uint8_t gate) { return (sc_mask)((sc_mask)1u << gate); }
static inline uint64_t sc_min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint16_t sc_one_more(uint16_t n) { return n == UINT16_MAX ? n : (uint16_t)(n + 1u); }
/* counts x 256 that pass in `us` */
static inline int64_t sc_counts_q8(uint32_t rate_q32, uint32_t us) { return (int64_t)(((uint64_t)rate_q32 * us) >> 24); }

#endif
