/* The device on an RP2040 (Raspberry Pi Pico) over its own USB. Written against the pico-sdk's documentation and never built with it:
 * what is checked is that it compiles for the processor against the SDK's prototypes (`make rp2040-prototypes`).
 *
 * GP2..9: gates, GP10: line permit, GP11: camera trigger. GP12: E-stop (high = pressed), GP13: belt running, GP14: photo-eye.
 * GP16, 17: encoder A, B. Outputs are inputs until a configuration says which level is safe: every driver needs its own pull.
 * An alarm interrupt moves the gates from planned moves, as on the AVR; the loop plans. The whole program is copied to memory at
 * its start (CMakeLists.txt): flash, whose cache may miss, and what the SDK keeps there, delay no edge. The watchdog is kicked only
 * when the loop and the timer's interrupt both ran. */
#include "hardware/gpio.h"
#include "hardware/sync.h"
#include "hardware/timer.h"
#include "hardware/watchdog.h"
#include "pico/rand.h"
#include "pico/stdio.h"
#include "pico/stdio_usb.h"
#include "pico/time.h"
#include "pico/unique_id.h"
#include "tusb.h"

#include "../common/moves.h"

enum { GATES = SC_GATES, FIRST_GATE = 2, PERMIT = 10, TRIGGER = 11, ESTOP = 12, INPUTS = 3, ENCODER_A = 16, ENCODER_B = 17 };
enum { WATCHDOG_MS = 250, PULSE_US = 20000, CHUNK = 64, LONGEST_MOVE_US = 50000, CORE_BYTES = 48 * 1024 };

#define GATE_PINS ((uint32_t)((1u << GATES) - 1u) << FIRST_GATE)
#define OUTPUT_PINS (GATE_PINS | 1u << PERMIT | 1u << TRIGGER)

static uint64_t memory[CORE_BYTES / sizeof(uint64_t)];
static sc_core *const core = (sc_core *)memory;

/* Shared with the interrupts: written by the loop only with interrupts off. */
static board_moves moves;
static board_move parked; /* its moment came, its count did not yet */
static volatile bool is_parked;
static volatile uint32_t acting, inactive_levels;
static volatile int64_t encoder_count;
static volatile uint64_t encoder_us;
static uint32_t encoder_phase;
static struct {
    uint64_t at_us;
    uint32_t on, off;
} done[MOVES_LOG];
static volatile uint32_t done_used;
static uint gate_alarm, pulse_alarm;
static volatile bool timer_ran;

/* ---- interrupts */

static void __not_in_flash_func(move_outputs)(const board_move *move) {
    acting = (acting | move->on) & ~(uint32_t)move->off;
    gpio_put_masked(GATE_PINS, (acting ^ inactive_levels) << FIRST_GATE);
    if (done_used == MOVES_LOG) return;
    done[done_used].at_us = time_us_64();
    done[done_used].on = move->on;
    done[done_used++].off = move->off;
}

/* Everything that is due by now; then the alarm is set for what comes next. */
static void __not_in_flash_func(walk)(void) {
    while (moves.next < moves.used) {
        const board_move *move = &moves.move[moves.next];
        uint64_t now_us = time_us_64();
        int32_t left_us = (int32_t)(move->at - (uint32_t)now_us);
        if (left_us > 0) {
            if (left_us > LONGEST_MOVE_US || !hardware_alarm_set_target(gate_alarm, from_us_since_boot(now_us + (uint32_t)left_us))) return;
            continue; /* it has become due meanwhile */
        }
        moves.next++;
        is_parked = move->waits && !moves_reached((uint16_t)encoder_count, move->count);
        if (is_parked) parked = *move;
        else move_outputs(move);
    }
}

static void __not_in_flash_func(on_alarm)(uint number) {
    (void)number;
    walk();
}

/* For the watchdog: the timer counts and interrupts. */
static void __not_in_flash_func(on_pulse)(uint number) {
    timer_ran = true;
    hardware_alarm_set_target(number, from_us_since_boot(time_us_64() + PULSE_US));
}

/* Any edge of A or B is one step, forward or back; a jump over two counts as none. */
static void __not_in_flash_func(on_encoder)(uint pin, uint32_t events) {
    uint32_t phase = gpio_get_all() >> ENCODER_A & 3u, was = encoder_phase, changed = phase ^ was;
    (void)pin;
    (void)events;
    encoder_phase = phase;
    if (changed == 0 || changed == 3u) return;
    encoder_us = time_us_64();
    encoder_count += ((phase >> 1 ^ was) & 1u) ? -1 : 1; /* forward: B becomes what A was */
    if (is_parked && moves_reached((uint16_t)encoder_count, parked.count)) {
        is_parked = false;
        move_outputs(&parked);
    }
}

/* ---- the loop */

/* What the interrupts have done since the last pass, told to the core in order; returns the time of the copy. */
static uint64_t look_at_interrupts(void) {
    static int64_t told;
    uint32_t state = save_and_disable_interrupts();
    int64_t count = encoder_count;
    uint64_t count_us = encoder_us, now_us = time_us_64();
    uint32_t used = done_used;
    restore_interrupts(state);
    for (uint32_t i = 0; i < used; i++) sc_moved(core, done[i].on, done[i].off, done[i].at_us);
    state = save_and_disable_interrupts();
    for (uint32_t i = used; i < done_used; i++) done[i - used] = done[i];
    done_used -= used;
    restore_interrupts(state);
    if (count != told) sc_encoder(core, count_us, count);
    told = count;
    return now_us;
}

static void look_at_inputs(uint64_t now_us) {
    static uint32_t seen;
    uint32_t now = gpio_get_all() >> ESTOP & ((1u << INPUTS) - 1u), changed = now ^ seen;
    for (uint8_t pin = 0; pin < INPUTS; pin++)
        if (changed >> pin & 1u) sc_set_input(core, pin, now >> pin & 1u, now_us);
    seen = now;
}

static void read_back(uint64_t now_us) {
    uint32_t state = save_and_disable_interrupts();
    uint32_t differs = gpio_get_all() >> FIRST_GATE ^ (acting ^ inactive_levels);
    restore_interrupts(state);
    sc_output_differs(core, sc_configured(core) ? differs & ((1u << GATES) - 1u) : 0, now_us);
}

/* The core's outputs to the pins and its plan to the alarm. Not while the alarm has moved something the core has not heard of:
 * then the next pass does it. Disarmed is off at once. */
static void drive(uint64_t now_us) {
    board_moves next;
    moves_plan(&next, core, GATES, now_us, (uint32_t)now_us);
    uint32_t wanted = sc_outputs(core), levels = sc_levels(core);
    uint32_t pins = levels << FIRST_GATE | (uint32_t)sc_permit(core) << PERMIT | (uint32_t)sc_trigger(core) << TRIGGER;
    bool at_once = !sc_armed(core);
    uint32_t state = save_and_disable_interrupts();
    if (done_used == 0 || at_once) {
        acting = wanted;
        inactive_levels = levels ^ wanted;
        moves = next;
        is_parked = false;
        gpio_put_masked(OUTPUT_PINS, pins);
        if (sc_configured(core)) gpio_set_dir_out_masked(OUTPUT_PINS);
        else gpio_set_dir_in_masked(OUTPUT_PINS);
        hardware_alarm_cancel(gate_alarm);
        walk();
    }
    restore_interrupts(state);
}

static void receive(void) {
    uint8_t bytes[CHUNK];
    uint32_t n = 0;
    int byte;
    while (n < CHUNK && (byte = getchar_timeout_us(0)) >= 0) bytes[n++] = (uint8_t)byte;
    if (n == 0) return;
    uint64_t now_us = look_at_interrupts(); /* the clock is read behind the bytes */
    sc_receive(core, bytes, n, now_us);
    drive(now_us); /* STOP and CANCEL do not wait for a pass */
}

/* Only what the port takes at once: a host that does not read must not hold up the loop. */
static void transmit(void) {
    static bool was_connected;
    bool connected = stdio_usb_connected();
    if (was_connected && !connected) sc_link_reset(core);
    was_connected = connected;
    uint8_t bytes[CHUNK];
    uint32_t room = connected ? tud_cdc_write_available() : 0;
    uint32_t n = room > 0 ? sc_transmit(core, bytes, room < CHUNK ? room : CHUNK) : 0;
    for (uint32_t i = 0; i < n; i++) putchar_raw(bytes[i]);
    if (n > 0) stdio_flush();
}

static void start(void) {
    pico_unique_board_id_t board;
    uint64_t uid = 0;
    gpio_init_mask(OUTPUT_PINS | ((1u << INPUTS) - 1u) << ESTOP | 3u << ENCODER_A);
    gpio_pull_up(ESTOP); /* an E-stop input that is not wired reads as pressed */
    pico_get_unique_board_id(&board);
    for (int i = 0; i < 8; i++) uid |= (uint64_t)board.id[i] << (8 * i);
    uint8_t cause = watchdog_enable_caused_reboot() ? SC_RESET_WATCHDOG : SC_RESET_POWER;
    sc_init(core, uid, get_rand_32() | 1u, cause, GATES, 1);
    stdio_init_all();
    gate_alarm = (uint)hardware_alarm_claim_unused(true);
    hardware_alarm_set_callback(gate_alarm, on_alarm);
    pulse_alarm = (uint)hardware_alarm_claim_unused(true);
    hardware_alarm_set_callback(pulse_alarm, on_pulse);
    on_pulse(pulse_alarm);
    encoder_phase = gpio_get_all() >> ENCODER_A & 3u;
    gpio_set_irq_enabled_with_callback(ENCODER_A, GPIO_IRQ_EDGE_RISE | GPIO_IRQ_EDGE_FALL, true, on_encoder);
    gpio_set_irq_enabled(ENCODER_B, GPIO_IRQ_EDGE_RISE | GPIO_IRQ_EDGE_FALL, true);
    watchdog_enable(WATCHDOG_MS, true);
}

int main(void) {
    if (sc_size() > sizeof memory) return 1;
    start();
    for (;;) {
        uint64_t now_us = look_at_interrupts();
        look_at_inputs(now_us);
        read_back(now_us);
        sc_tick_gates(core, now_us);
        drive(now_us);
        receive();
        sc_tick(core, look_at_interrupts());
        transmit();
        if (!timer_ran) continue;
        timer_ran = false;
        watchdog_update();
    }
}
