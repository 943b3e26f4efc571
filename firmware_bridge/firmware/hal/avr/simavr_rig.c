/* The real AVR image in simavr, in lock-step with a test: bytes and encoder steps go in at exact cycles, bytes and pin changes
 * come out with theirs. A test tool, no part of the image. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

enum { BUFFER = 1 << 16, EDGES = 1 << 12, BYTE_US = 40, TIMER1_CONTROL_B = 0x81, PASSES = 0x3E };

typedef struct {
    avr_t *avr;
    uint8_t in[BUFFER], out[BUFFER];
    uint32_t in_used, in_sent, out_used;
    uint64_t next_byte;
    struct {
        int64_t pin, level, cycle;
    } edge[EDGES];
    uint32_t edges, levels; /* levels: port B as it was last seen */
    int estop;
    int64_t encoder_count;
    uint64_t next_step, first_step, timer_begun;
    uint16_t lowest_stack;
    uint8_t passes;
    uint64_t pass_begun, longest_pass, pass_count;
    avr_irq_t *uart_in, *encoder[2];
} rig;

static void on_byte(struct avr_irq_t *irq, uint32_t value, void *parameter) {
    rig *r = parameter;
    (void)irq;
    if (r->out_used < BUFFER) r->out[r->out_used++] = (uint8_t)value;
}

static void add_edge(rig *r, int64_t pin, uint32_t level) {
    r->levels = (r->levels & ~(1u << pin)) | level << pin;
    if (r->edges == EDGES) return;
    r->edge[r->edges].pin = pin;
    r->edge[r->edges].level = level;
    r->edge[r->edges++].cycle = (int64_t)r->avr->cycle;
}

static void on_pin(struct avr_irq_t *irq, uint32_t value, void *parameter) { add_edge(parameter, irq->irq, value & 1); }

/* The E-stop's wire; the other inputs stay low. */
void rig_estop(rig *r, int pressed) {
    avr_ioport_external_t wired = {.name = 'C', .mask = 7, .value = pressed != 0};
    r->estop = pressed;
    avr_ioctl(r->avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('C'), &wired);
    avr_raise_irq(avr_io_getirq(r->avr, AVR_IOCTL_IOPORT_GETIRQ('C'), 0), (uint32_t)r->estop);
}

rig *rig_open(const char *elf) {
    rig *r = calloc(1, sizeof *r);
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    if (r == NULL || elf_read_firmware(elf, &firmware) != 0) return NULL;
    r->avr = avr_make_mcu_by_name("atmega328p");
    avr_init(r->avr);
    firmware.frequency = 16000000;
    avr_load_firmware(r->avr, &firmware);
    uint32_t flags = 0; /* no echo to stdio, no sleeping in wall time */
    avr_ioctl(r->avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    r->uart_in = avr_io_getirq(r->avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(r->avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_byte, r);
    for (int pin = 0; pin < 5; pin++) avr_irq_register_notify(avr_io_getirq(r->avr, AVR_IOCTL_IOPORT_GETIRQ('B'), pin), on_pin, r);
    for (int i = 0; i < 2; i++) r->encoder[i] = avr_io_getirq(r->avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2 + i);
    rig_estop(r, 0);
    r->lowest_stack = UINT16_MAX;
    return r;
}

/* As after a brown-out: every pin an input again at once, memory empty, the EEPROM as it was. */
void rig_reset(rig *r) {
    for (int64_t pin = 0; pin < 5; pin++)
        if (r->levels >> pin & 1u) add_edge(r, pin, 0);
    r->in_used = r->in_sent = r->out_used = 0;
    r->timer_begun = 0;
    avr_reset(r->avr);
    rig_estop(r, r->estop);
}

void rig_send(rig *r, const uint8_t *data, uint32_t length) {
    if (r->in_sent == r->in_used) r->in_sent = r->in_used = 0;
    if (r->in_used + length > BUFFER) return;
    memcpy(r->in + r->in_used, data, length);
    r->in_used += length;
}

static void step_encoder(rig *r) {
    uint32_t phase = (uint32_t)(++r->encoder_count) & 3u;
    avr_raise_irq(r->encoder[0], phase == 1 || phase == 2);
    avr_raise_irq(r->encoder[1], phase >= 2);
}

/* Runs until `cycle`; the encoder makes one count every `count_cycles` (0: it stands). Returns simavr's state. */
int rig_run(rig *r, uint64_t cycle, uint32_t count_cycles) {
    int state = cpu_Running;
    if (count_cycles != 0 && r->next_step < r->avr->cycle) {
        r->next_step = r->avr->cycle + count_cycles;
        if (r->encoder_count == 0) r->first_step = r->next_step;
    }
    while (r->avr->cycle < cycle && state != cpu_Done && state != cpu_Crashed) {
        state = avr_run(r->avr);
        if (r->avr->data[PASSES] != r->passes) {
            uint64_t took = r->avr->cycle - r->pass_begun;
            r->passes = r->avr->data[PASSES];
            r->pass_begun = r->avr->cycle;
            if (r->pass_count++ > 0 && took > r->longest_pass) r->longest_pass = took;
        }
        uint16_t stack = (uint16_t)(r->avr->data[R_SPL] | r->avr->data[R_SPH] << 8);
        if (r->timer_begun == 0 && r->avr->data[TIMER1_CONTROL_B] != 0) r->timer_begun = r->avr->cycle;
        if (stack > 0x100 && stack < r->lowest_stack) r->lowest_stack = stack;
        if (r->in_sent < r->in_used && r->avr->cycle >= r->next_byte) {
            avr_raise_irq(r->uart_in, r->in[r->in_sent++]);
            r->next_byte = r->avr->cycle + BYTE_US * 16;
        }
        if (count_cycles != 0 && r->avr->cycle >= r->next_step) {
            step_encoder(r);
            r->next_step += count_cycles;
        }
    }
    return state;
}

uint64_t rig_cycle(const rig *r) { return r->avr->cycle; }
int64_t rig_count(const rig *r) { return r->encoder_count; }
uint64_t rig_first_step(const rig *r) { return r->first_step; }   /* when the encoder made its first count */
uint64_t rig_timer_begun(const rig *r) { return r->timer_begun; } /* when the device's microseconds began */
uint64_t rig_longest_pass(const rig *r) { return r->longest_pass; }
uint64_t rig_passes(const rig *r) { return r->pass_count; }
uint32_t rig_lowest_stack(const rig *r) { return r->lowest_stack; }

uint32_t rig_hear(rig *r, uint8_t *out, uint32_t max) {
    uint32_t n = r->out_used < max ? r->out_used : max;
    memcpy(out, r->out, n);
    memmove(r->out, r->out + n, r->out_used - n);
    r->out_used -= n;
    return n;
}

/* Three numbers each: pin of port B, level, cycle. */
uint32_t rig_edges(rig *r, int64_t *rows, uint32_t max) {
    uint32_t n = r->edges < max ? r->edges : max;
    memcpy(rows, r->edge, n * sizeof r->edge[0]);
    r->edges = 0;
    return n;
}
