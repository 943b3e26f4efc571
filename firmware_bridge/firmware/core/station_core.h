/* The firmware core's whole interface: scalars, byte buffers and one opaque block of memory the caller provides.
 *
 * Knows no operating system, no pin, no clock: a HAL hands in bytes, time in microseconds since boot and encoder counts,
 * and takes out bytes and gate bits. Nothing is allocated and nothing is global, so one process may hold many cores.
 *
 * A HAL's loop: sc_receive what came, sc_encoder the newest count, sc_tick, drive sc_outputs, send sc_transmit, and be
 * back no later than sc_next_due_us. Time must never run backwards between calls. */
#ifndef STATION_CORE_H
#define STATION_CORE_H

#include <stdbool.h>
#include <stdint.h>

#ifndef SC_API
#if defined(__GNUC__) && !defined(__AVR__)
#define SC_API __attribute__((visibility("default")))
#else
#define SC_API
#endif
#endif

typedef struct sc_core sc_core;

enum { SC_PIN_ESTOP = 0, SC_PIN_BELT_RUNNING = 1, SC_PIN_PHOTO_EYE = 2 };
enum { SC_RESET_UNKNOWN = 0, SC_RESET_POWER = 1, SC_RESET_PIN = 2, SC_RESET_WATCHDOG = 3, SC_RESET_SOFTWARE = 4 };

/* Bytes the caller must provide, aligned for 64-bit integers. */
SC_API uint32_t sc_size(void);
/* After every boot. `gates` at most the HAL's SC_GATES; boot_id must differ from boot to boot. */
SC_API void sc_init(sc_core *core, uint64_t uid, uint32_t boot_id, uint8_t reset_cause, uint8_t gates, uint8_t has_encoder);

/* Bytes as they come, split anywhere; now_us is when the last of them arrived. */
SC_API void sc_receive(sc_core *core, const uint8_t *data, uint32_t length, uint64_t now_us);
/* Bytes to send, at most `max`; returns how many. */
SC_API uint32_t sc_transmit(sc_core *core, uint8_t *out, uint32_t max);
/* The cable was pulled or the port re-opened: half frames and unsent bytes are void. */
SC_API void sc_link_reset(sc_core *core);

/* The encoder stands at `count` since `at_us` (not later than the next sc_tick). */
SC_API void sc_encoder(sc_core *core, uint64_t at_us, int64_t count);
/* An input changed: see SC_PIN_*; other pins are only reported. */
SC_API void sc_set_input(sc_core *core, uint8_t pin, uint8_t level, uint64_t now_us);
/* What the HAL reads back from its pins: the gates whose level is not the commanded one, 0 for none; to be said every pass. What
 * differs for 2 ms is a latched fault: everything off, disarmed. */
SC_API void sc_output_differs(sc_core *core, uint32_t gates, uint64_t now_us);
/* Does everything that is due. */
SC_API void sc_tick(sc_core *core, uint64_t now_us);
/* The part of sc_tick that moves outputs, for a slow machine that wants to drive its pins before it talks. */
SC_API void sc_tick_gates(sc_core *core, uint64_t now_us);
/* When sc_tick is needed next at the latest, if neither bytes nor counts come; may lie in the past. */
SC_API uint64_t sc_next_due_us(const sc_core *core);
/* The part of it that moves outputs: what a HAL that can sleep only roughly should be awake for early. */
SC_API uint64_t sc_next_edge_us(const sc_core *core);
/* The count at which sc_tick is needed next; INT64_MAX when no command waits for one. */
SC_API int64_t sc_wake_count(const sc_core *core);

/* For a HAL whose timer moves the outputs between two ticks: the next pulse of each gate, foretold. Asked for after a tick, it
 * is handed to the timer; what the timer did is told with sc_moved, in order and before the next sc_encoder or sc_tick. */
typedef struct {
    int64_t position_q8; /* counts x 256 */
    uint64_t now_us;
    uint32_t rate_q32, period_q16; /* counts per us x 2^32; us per count x 2^16, 0: unknown */
} sc_now; /* time and belt at one instant */
typedef struct {
    int32_t in_us;  /* from now; INT32_MAX: not yet known */
    uint16_t count; /* low bits of the count that must have been reached before ... */
    bool waits;     /* ... if so */
} sc_moment;
typedef struct {
    sc_moment on, off;
    bool is_on; /* already: `on` is void */
} sc_pulse;
SC_API sc_now sc_now_at(const sc_core *core, uint64_t now_us);
SC_API bool sc_plan(const sc_core *core, uint8_t gate, const sc_now *now, sc_pulse *pulse);
/* At at_us the timer turned these gates on and off, as planned. */
SC_API void sc_moved(sc_core *core, uint32_t on, uint32_t off, uint64_t at_us);

/* Gates that act now, bit per gate. */
SC_API uint32_t sc_outputs(const sc_core *core);
/* The same as pin levels (a gate's safe level when it does not act); drive pins only once sc_configured. */
SC_API uint32_t sc_levels(const sc_core *core);
SC_API uint8_t sc_configured(const sc_core *core);
SC_API uint8_t sc_permit(const sc_core *core);
SC_API uint8_t sc_armed(const sc_core *core);
SC_API uint8_t sc_disarm_reason(const sc_core *core);
SC_API int64_t sc_count(const sc_core *core);
/* The camera trigger's level, and how many pulses it has given; only where SC_TRIGGER is 1. */
SC_API uint8_t sc_trigger(const sc_core *core);
SC_API uint32_t sc_trigger_number(const sc_core *core);
/* Output edges since the last call, four numbers each: gate, on, at_us, count. Returns how many edges (at most max). */
SC_API uint32_t sc_take_edges(sc_core *core, int64_t *rows, uint32_t max);
/* Bit 0: edges wait to be taken; bit 1: bytes wait to be sent. */
SC_API uint32_t sc_waiting(const sc_core *core);
/* Edges that found no room since boot: 0 unless the HAL forgets to take them. */
SC_API uint32_t sc_edges_lost(const sc_core *core);

#endif
