/* The device on a Cortex-M3 in QEMU (mps2-an385): shows that the core runs bare on an ARM and talks to the real host over a wire.
 *
 * No encoder; gates are the board's LEDs. A loop that never sleeps, because an emulator's interrupts come when its host likes:
 * this is a test of function, never of timing. The boot id lies in memory where whoever starts the emulator has put it. */
#include <stddef.h>

#include "../../core/station_core.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CONTROL REGISTER(0x40004008u)
#define UART_DIVIDER REGISTER(0x40004010u)
#define TIMER_CONTROL REGISTER(0x40000000u)
#define TIMER_VALUE REGISTER(0x40000004u) /* counts down at 25 MHz */
#define TIMER_RELOAD REGISTER(0x40000008u)
#define LEDS REGISTER(0x40028000u)
#define BOOT_ID REGISTER(0x203ffff0u)

enum { TX_FULL = 1, RX_FULL = 2, TICKS_PER_US = 25, GATES = 8, CHUNK = 64, CORE_BYTES = 64 * 1024 };

extern uint32_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[], stack_top[];

static uint64_t memory[CORE_BYTES / sizeof(uint64_t)];

static uint64_t now_us(void) {
    static uint64_t ticks;
    static uint32_t last;
    uint32_t up = ~TIMER_VALUE;
    ticks += up - last;
    last = up;
    return ticks / TICKS_PER_US;
}

static void receive(sc_core *core) {
    uint8_t bytes[CHUNK];
    uint32_t n = 0;
    while (n < CHUNK && (UART_STATE & RX_FULL)) bytes[n++] = (uint8_t)UART_DATA;
    if (n > 0) sc_receive(core, bytes, n, now_us()); /* the clock is read behind the bytes */
}

static void transmit(sc_core *core) {
    uint8_t byte;
    while (!(UART_STATE & TX_FULL) && sc_transmit(core, &byte, 1) == 1) UART_DATA = byte;
}

static void run(void) {
    sc_core *core = (sc_core *)memory;
    if (sc_size() > sizeof memory) return;
    UART_DIVIDER = 16;
    UART_CONTROL = 3;
    TIMER_RELOAD = TIMER_VALUE = 0xffffffffu;
    TIMER_CONTROL = 1;
    sc_init(core, 0x3859U, BOOT_ID | 1u, SC_RESET_POWER, GATES, 0);
    for (;;) {
        receive(core);
        sc_tick(core, now_us());
        LEDS = sc_configured(core) ? sc_levels(core) : 0;
        transmit(core);
    }
}

void reset(void);
void reset(void) {
    const uint32_t *from = data_load;
    for (uint32_t *to = data_begin; to < data_end; to++) *to = *from++;
    for (uint32_t *to = bss_begin; to < bss_end; to++) *to = 0;
    run();
    for (;;) {}
}

static void stop(void) {
    LEDS = 0;
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, (void *)reset, (void *)stop, (void *)stop, (void *)stop, (void *)stop, (void *)stop,
};
