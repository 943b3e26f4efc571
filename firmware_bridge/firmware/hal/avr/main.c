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

#define UBRR_250K 7 /* with U2X */

enum { RX_SIZE = 64, TX_SIZE = 16, GATES = SC_GATES, PERMIT_PIN = 4, INPUTS = 3, CHUNK = 8 };

static sc_core core;
static volatile uint8_t rx[RX_SIZE], rx_head, rx_tail, tx[TX_SIZE], tx_head, tx_tail;
static volatile uint32_t timer_high; /* overflows of the 0.5 us timer */
static volatile bool timer_ran;
static volatile int32_t encoder_count;
static volatile uint32_t encoder_ticks; /* when it last changed */
static volatile uint8_t encoder_phase;
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
    timer_high++;
    timer_ran = true;
}

/* Ticks of 0.5 us, modulo 2^32; interrupts must be off. An overflow that has not been served yet is counted. */
static inline uint32_t ticks32(void) {
    uint16_t low = TCNT1, high = (uint16_t)timer_high;
    if ((TIFR1 & (1 << TOV1)) && low < 0x8000u) high++;
    return (uint32_t)high << 16 | low;
}

static uint64_t ticks_now(void) {
    uint32_t high = 0, low = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        low = ticks32();
        high = timer_high;
    }
    if ((uint16_t)(low >> 16) != (uint16_t)high) high++; /* the unserved overflow */
    return (uint64_t)high << 16 | (low & 0xFFFFu);
}

/* Any edge of A or B: one of the four steps of a period, forward or back; a jump over two counts as none. */
static void encoder_edge(void) {
    static const int8_t step[16] = {0, 1, -1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 0, -1, 1, 0};
    uint8_t phase = (PIND >> PIND2) & 3u;
    int8_t moved = step[encoder_phase << 2 | phase];
    encoder_phase = phase;
    if (moved == 0) return;
    encoder_count += moved;
    encoder_ticks = ticks32();
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

static void receive(uint64_t now_us) {
    uint8_t bytes[CHUNK], n = 0;
    while (rx_tail != rx_head && n < CHUNK) {
        bytes[n++] = rx[rx_tail];
        rx_tail = (uint8_t)((rx_tail + 1u) % RX_SIZE);
    }
    if (n > 0) sc_receive(&core, bytes, n, now_us);
}

static void transmit(void) {
    uint8_t byte, next;
    while ((next = (uint8_t)((tx_head + 1u) % TX_SIZE)) != tx_tail && sc_transmit(&core, &byte, 1) == 1) {
        tx[tx_head] = byte;
        tx_head = next;
    }
    UCSR0B |= 1 << UDRIE0;
}

/* The clock is read after the copy is taken (a later edge would lie in the future) and before anything slow. */
static uint64_t look_at_encoder(void) {
    static int64_t total;
    static int32_t seen;
    int32_t count = 0;
    uint32_t changed = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        count = encoder_count;
        changed = encoder_ticks;
    }
    uint64_t now_ticks = ticks_now();
    if (count == seen) return now_ticks >> 1;
    total += count - seen;
    seen = count;
    sc_encoder(&core, (now_ticks - (uint32_t)((uint32_t)now_ticks - changed)) >> 1, total);
    return now_ticks >> 1;
}

static void look_at_inputs(uint64_t now_us) {
    static uint8_t seen;
    uint8_t now = PINC & ((1 << INPUTS) - 1), changed = now ^ seen;
    for (uint8_t pin = 0; pin < INPUTS; pin++)
        if (changed & (1 << pin)) sc_set_input(&core, pin, (now >> pin) & 1u, now_us);
    seen = now;
}

static void drive(void) {
    const uint8_t gates = (1 << GATES) - 1;
    uint8_t levels = (uint8_t)sc_levels(&core) & gates;
    if (sc_permit(&core)) levels |= 1 << PERMIT_PIN;
    PORTB = levels;
    DDRB = sc_configured(&core) ? gates | (1 << PERMIT_PIN) : 0;
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
    encoder_phase = (PIND >> PIND2) & 3u;
    wdt_enable(WDTO_250MS);
    sei();
}

int main(void) {
    start();
    for (;;) {
        uint64_t now_us = look_at_encoder();
        look_at_inputs(now_us);
        sc_tick_gates(&core, now_us);
        drive();
        receive(now_us);
        sc_tick(&core, now_us);
        drive();
        transmit();
        if (timer_ran) {
            timer_ran = false;
            wdt_reset();
        }
    }
}
