/* The device on an ATmega328P (Uno and its kin), 16 MHz, USART0 at 250000 baud.
 *
 * Port B 0..3: gates, B4: line permit. C0: E-stop (high = pressed), C1: belt running, C2: photo-eye. D2, D3: encoder A, B.
 * Outputs are inputs until a configuration says which level is safe: every driver needs its own pull resistor.
 * The hardware watchdog is kicked only when the main loop and the timer interrupt both ran. */
#include <avr/eeprom.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/wdt.h>
#include <stdbool.h>
#include <util/atomic.h>

#include "../../core/internal.h"
#include "../common/moves.h"

#define UBRR_250K 7 /* with U2X */

enum { CANCEL = 0x08, STOP = 0x0A };
enum { RX_SIZE = 64, TX_SIZE = 32, GATES = SC_GATES, PERMIT_PIN = 4, INPUTS = 3, CHUNK = 8 };
/* Ticks: what the 16-bit timer may be set for; what passes while it is set; from an encoder edge to its stamp. */
enum { NEAR = 0x7000, SETTLE = 6, ENTRY = 4 };

static sc_core core;
static volatile uint8_t rx[RX_SIZE], rx_head, rx_tail, tx[TX_SIZE], tx_head, tx_tail;
static volatile uint8_t overflows; /* of the 0.5 us timer, since the clock was last read */
static volatile bool timer_ran, stalled;
static bool held; /* the timer moves nothing */
static volatile uint16_t encoder_count, encoder_stamp; /* low bits; the stamp in timer ticks */
static volatile uint8_t encoder_phase;

static board_moves plans[2];
static board_moves *volatile plan = &plans[0]; /* the interrupt's; the other one is being written */
static volatile board_move parked;             /* its moment came, its count did not yet */
static volatile bool is_parked;
static volatile uint8_t acting, inactive_levels; /* port B = acting ^ inactive_levels, permit included */
static volatile struct {
    uint16_t stamp;
    uint8_t on, off;
} done[MOVES_LOG];
static volatile uint8_t done_head, done_tail;

static uint8_t reset_flags __attribute__((section(".noinit")));
static uint32_t EEMEM boots;
static uint64_t EEMEM uid;

/* Runs before main: after a watchdog reset the watchdog is still on, at its shortest. */
void early(void) __attribute__((naked, used, section(".init3")));
void early(void) {
    reset_flags = MCUSR;
    MCUSR = 0;
    wdt_disable();
}

ISR(TIMER1_OVF_vect) {
    overflows++;
    timer_ran = true;
}

/* What of the clock must be read with interrupts off. */
static volatile uint16_t read_low;
static volatile uint8_t read_overflows;
static inline __attribute__((always_inline)) void read_clock(void) {
    uint16_t low = TCNT1;
    uint8_t n = overflows;
    if ((TIFR1 & (1 << TOV1)) && low < 0x8000u) {
        TIFR1 = 1 << TOV1;
        n++;
        timer_ran = true;
    }
    overflows = 0;
    read_overflows = n;
    read_low = low;
}

/* The clock in ticks of 0.5 us, of the moment read_clock was called. Asked several times a pass, it sees every wrap of the counter by
 * itself; the overflow interrupt only counts, to tell that a pass took longer than a wrap: then the time is not known any more.
 * (An overflow that did not interrupt does no harm: simavr 1.6 drops those that meet a write to OCR1A.) */
static uint64_t ticks(void) {
    static uint32_t high;
    static uint16_t last;
    uint16_t low = read_low;
    bool wrapped = low < last;
    if (wrapped) high++;
    if (read_overflows > wrapped) stalled = true;
    last = low;
    return (uint64_t)high << 16 | low;
}

/* ---- the timer moves the outputs; nothing here may take long */

static inline __attribute__((always_inline)) void move_outputs(uint8_t on, uint8_t off) {
    uint8_t now = (uint8_t)((acting | on) & ~off), at = done_head;
    PORTB = now ^ inactive_levels;
    acting = now;
    done[at].stamp = TCNT1;
    done[at].on = on;
    done[at].off = off;
    done_head = (at + 1u) % MOVES_LOG;
}

/* Everything that is due by now; then the compare register is set for what comes next, if that is near. */
static inline __attribute__((always_inline)) void walk(void) {
    board_moves *list = plan;
    uint8_t at = list->next;
    for (;;) {
        board_move *move = &list->move[at];
        if (move->waits && !moves_reached(encoder_count, move->count)) {
            parked.count = move->count;
            parked.on = move->on;
            parked.off = move->off;
            is_parked = true;
        } else {
            move_outputs(move->on, move->off);
        }
        list->next = ++at;
        if (at == list->used || (move + 1)->at - move->at > NEAR) break;
        uint16_t next = (uint16_t)(move + 1)->at;
        OCR1A = next;
        TIFR1 = 1 << OCF1A;
        if ((int16_t)(next - TCNT1) > SETTLE) return;
    }
    TIMSK1 = 1 << TOIE1;
}

ISR(TIMER1_COMPA_vect) { walk(); }

/* Main loop: the timer is set once the next move is near. `then` is a moment of this pass. While the compare interrupt is off
 * nobody else touches the list. */
static void watch(uint32_t then) {
    const board_moves *list = plan;
    if ((TIMSK1 & (1 << OCIE1A)) || list->next == list->used) return;
    uint32_t at = list->move[list->next].at;
    int32_t ahead = (int32_t)(at - then);
    if (ahead > NEAR) return;
    if (ahead < 0) ahead = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        int16_t left = (int16_t)ahead - (int16_t)(TCNT1 - (uint16_t)then);
        TIMSK1 = 1 << TOIE1 | 1 << OCIE1A; /* stays, unless walk() finds nothing more that is near */
        if (left > SETTLE) {
            OCR1A = (uint16_t)at;
            TIFR1 = 1 << OCF1A;
            left = (int16_t)((uint16_t)at - TCNT1);
        }
        if (left <= SETTLE) walk();
    }
}

/* Any edge of A or B is one step, forward or back; a jump over two counts as none. */
static inline __attribute__((always_inline)) void encoder_edge(void) {
    uint8_t phase = PIND & (3u << PIND2), was = encoder_phase, changed = phase ^ was;
    uint16_t stamp = TCNT1, count = encoder_count;
    encoder_phase = phase;
    if (changed == 0 || changed == (3u << PIND2)) return;
    if (((uint8_t)(phase >> 1) ^ was) & (1u << PIND2)) count--;
    else count++; /* forward: B becomes what A was */
    encoder_count = count;
    encoder_stamp = stamp - ENTRY;
    if (is_parked && moves_reached(count, parked.count)) {
        is_parked = false;
        move_outputs(parked.on, parked.off);
    }
}

ISR(INT0_vect) { encoder_edge(); }
ISR(INT1_vect, ISR_ALIASOF(INT0_vect));

ISR(USART_RX_vect) {
    uint8_t byte = UDR0, next = (uint8_t)((rx_head + 1u) % RX_SIZE);
    if (next == rx_tail) return; /* full: the frame will fail its CRC and be sent again */
    rx[rx_head] = byte;
    rx_head = next;
}

ISR(USART_UDRE_vect) {
    if (tx_head == tx_tail) {
        UCSR0B &= (uint8_t)~(1 << UDRIE0);
        return;
    }
    UDR0 = tx[tx_tail];
    tx_tail = (uint8_t)((tx_tail + 1u) % TX_SIZE);
}

/* What the interrupts have done since the last pass, told to the core in order; returns the time of the copy. */
static uint64_t look_at_interrupts(void) {
    static int64_t total;
    static uint16_t seen;
    uint16_t count = 0, stamp = 0;
    uint8_t head = 0;
    uint64_t now;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        count = encoder_count;
        stamp = encoder_stamp;
        head = done_head;
        read_clock();
    }
    now = ticks();
    for (; done_tail != head; done_tail = (done_tail + 1u) % MOVES_LOG)
        sc_moved(&core, done[done_tail].on, done[done_tail].off, (now - (uint16_t)((uint16_t)now - done[done_tail].stamp)) >> 1);
    if (count != seen) {
        total += (int16_t)(count - seen);
        seen = count;
        sc_encoder(&core, (now - (uint16_t)((uint16_t)now - stamp)) >> 1, total);
    }
    return now >> 1;
}

/* The end of a CANCEL, DISARM or STOP: from here on no planned edge falls until there is a new plan. */
static void hold_if_it_takes_back(void) {
    uint8_t type = core.rx[0];
    if (core.rx_length == 0 || type < CANCEL || type > STOP) return;
    held = true;
    TIMSK1 = 1 << TOIE1;
    is_parked = false;
}

/* What has come, up to the end of one frame; the clock is read behind the bytes, or the host's clock bound would not hold. */
static uint64_t receive(void) {
    uint8_t bytes[CHUNK], n;
    uint64_t now;
    bool whole = false;
    do {
        for (n = 0; rx_tail != rx_head && n < CHUNK && !whole;) {
            uint8_t byte = rx[rx_tail];
            rx_tail = (uint8_t)((rx_tail + 1u) % RX_SIZE);
            whole = byte == 0 && core.rx_any;
            bytes[n++] = byte;
        }
        if (whole) hold_if_it_takes_back();
        now = look_at_interrupts();
        sc_receive(&core, bytes, n, now);
    } while (n == CHUNK && !whole);
    return now;
}

static void transmit(void) {
    uint8_t byte, next;
    while ((next = (uint8_t)((tx_head + 1u) % TX_SIZE)) != tx_tail && sc_transmit(&core, &byte, 1) == 1) {
        tx[tx_head] = byte;
        tx_head = next;
    }
    UCSR0B |= 1 << UDRIE0;
}

static void look_at_inputs(uint64_t at_us) {
    static uint8_t seen;
    uint8_t now = PINC & ((1 << INPUTS) - 1), changed = now ^ seen;
    for (uint8_t pin = 0; pin < INPUTS; pin++)
        if (changed & (1 << pin)) sc_set_input(&core, pin, (now >> pin) & 1u, at_us);
    seen = now;
}

/* The pins as they are against the latch, of those we drive. */
static void read_back(uint64_t at_us) {
    uint8_t differs = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) { differs = (PINB ^ PORTB) & DDRB; }
    sc_output_differs(&core, differs & ((1 << GATES) - 1), at_us);
}

/* The core's outputs to the pins and its plan to the timer. Not while the timer has moved something the core has not heard
 * of: then the next pass does it. Disarmed is off at once. */
static void drive(uint64_t at_us) {
    const uint8_t gates = (1 << GATES) - 1;
    uint8_t wanted = (uint8_t)sc_outputs(&core), levels = (uint8_t)(sc_levels(&core) ^ wanted) & gates;
    board_moves *next = plan == &plans[0] ? &plans[1] : &plans[0];
    uint8_t driven = sc_configured(&core) ? gates | (1 << PERMIT_PIN) : 0, pins = wanted;
    bool at_once = !sc_armed(&core);
    if (sc_permit(&core)) levels |= 1 << PERMIT_PIN;
    pins ^= levels;
    moves_plan(next, &core, GATES, at_us, (uint32_t)at_us * SC_TICKS_PER_US);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        if (done_tail == done_head || at_once) {
            PORTB = pins;
            DDRB = driven;
            acting = wanted;
            inactive_levels = levels;
            is_parked = false;
            plan = next;
            TIMSK1 = 1 << TOIE1;
        }
    }
    watch((uint32_t)at_us * SC_TICKS_PER_US);
}

static void start(void) {
    uint8_t cause = reset_flags & (1 << WDRF) ? SC_RESET_WATCHDOG : reset_flags & (1 << EXTRF) ? SC_RESET_PIN : SC_RESET_POWER;
    uint32_t boot_id = eeprom_read_dword(&boots) + 1u;
    uint64_t id;
    eeprom_read_block(&id, &uid, sizeof id);
    eeprom_update_dword(&boots, boot_id);
    sc_init(&core, id, boot_id, cause, GATES, 1);
    TCCR1B = 1 << CS11; /* clock / 8 */
    TIMSK1 = 1 << TOIE1;
    UBRR0 = UBRR_250K;
    UCSR0A = 1 << U2X0;
    UCSR0B = (1 << RXEN0) | (1 << TXEN0) | (1 << RXCIE0);
    EICRA = (1 << ISC00) | (1 << ISC10); /* any edge */
    EIMSK = (1 << INT0) | (1 << INT1);
    PORTC = 1; /* an E-stop input that is not wired reads as pressed */
    encoder_phase = PIND & (3u << PIND2);
    wdt_enable(WDTO_250MS);
    sei();
}

int main(void) {
    start();
    for (;;) {
        GPIOR0++; /* a pass, for whoever watches in a simulator */
        uint64_t now = look_at_interrupts();
        look_at_inputs(now);
        read_back(now);
        sc_tick_gates(&core, now);
        drive(now);
        now = receive();
        if (held) drive(now); /* STOP does not wait for a pass */
        held = false;
        sc_tick(&core, now);
        transmit();
        if (timer_ran && !stalled) {
            timer_ran = false;
            wdt_reset();
        }
    }
}
