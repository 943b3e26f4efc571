/* One pass of the device's loop: bytes in, belt, core, edges out, bytes out.
 *
 * An edge happens when this loop acts, as long as the computer lets it run. After a stall the passes that were left out are
 * made up for first, each with the belt of its moment: a board's timer does not wait for a desk. Every edge says both, its
 * moment on the device's clock (at) and when this process came to it (acted). A stall too long for that is acted on late. */
#define _GNU_SOURCE
#include "device.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "record.h"

enum { EDGES_AT_ONCE = 64, BYTES_AT_ONCE = 512, SAMPLE_NS = 10000000, MISSED_PASS_NS = 2000000, PASS_NS = 1000000 };
enum { LONGEST_MADE_UP_NS = 100000000 };

static const char *const disarm_reasons[] = {"", "boot", "host", "stop", "lease", "estop", "fault", "output"};

uint64_t device_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t device_us(const device *d, uint64_t now_ns) { return (now_ns - d->boot_ns) / 1000u; }

static void note(const device *d, const char *what, const char *more, uint64_t now_ns) {
    record_line(d->device_fd, "{\"what\":\"%s\"%s,\"boot_id\":%" PRIu32 ",\"at_us\":%" PRIu64 ",\"at_ns\":%" PRIu64 "}", what,
                more, d->boot_id, device_us(d, now_ns), now_ns);
}

static void note_edge(const device *d, int64_t gate, bool on, uint64_t at_us, uint64_t acted_ns, int64_t count) {
    record_line(d->edges_fd,
                "{\"gate\":%" PRId64 ",\"on\":%s,\"at_us\":%" PRIu64 ",\"at_ns\":%" PRIu64 ",\"acted_ns\":%" PRIu64
                ",\"count\":%" PRId64 ",\"boot_id\":%" PRIu32 "}",
                gate, on ? "true" : "false", at_us, d->boot_ns + at_us * 1000u, acted_ns, count, d->boot_id);
}

void device_boot(device *d, uint8_t reset_cause, uint64_t now_ns) {
    d->boot_ns = now_ns;
    d->count = 0;
    d->looked_ns = now_ns;
    d->epoch_count = d->has_belt ? belt_count(&d->belt, now_ns) : 0;
    d->armed = d->permit = false;
    d->triggers = 0;
    sc_init(d->core, 0x5EED, d->boot_id, reset_cause, d->gates, d->has_belt);
    char more[64];
    (void)snprintf(more, sizeof more, ",\"epoch_count\":%" PRId64, d->epoch_count);
    note(d, "boot", more, now_ns);
}

static void outputs_fall(const device *d, uint64_t now_ns) {
    uint32_t on = sc_outputs(d->core);
    for (uint8_t g = 0; g < d->gates; g++)
        if (on >> g & 1u) note_edge(d, g, false, device_us(d, now_ns), now_ns, d->count);
}

void device_stop(device *d, uint64_t now_ns) {
    outputs_fall(d, now_ns);
    note(d, "ended", "", now_ns);
}

void device_reboot(device *d, uint64_t now_ns) {
    outputs_fall(d, now_ns);
    d->boot_id++;
    device_boot(d, SC_RESET_WATCHDOG, now_ns);
}

void device_unplug(device *d, double seconds, uint64_t now_ns) {
    pty_unplug(&d->port);
    sc_link_reset(d->core);
    d->replug_ns = now_ns + (uint64_t)(seconds * 1e9);
    note(d, "unplugged", "", now_ns);
}

static void replug(device *d, uint64_t now_ns) {
    if (now_ns < d->replug_ns) return;
    d->replug_ns = pty_plug(&d->port) ? UINT64_MAX : now_ns + 100000000u;
    if (d->replug_ns == UINT64_MAX) note(d, "plugged", "", now_ns);
}

void device_stalled(const device *d, uint64_t late_ns, uint64_t queued_ns, uint64_t now_ns) {
    char more[96];
    (void)snprintf(more, sizeof more, ",\"late_us\":%" PRIu64 ",\"queued_us\":%" PRIu64, late_ns / 1000u, queued_ns / 1000u);
    note(d, "stalled", more, now_ns);
}

/* The passes that the computer did not let us make, one after the other. Bytes that came meanwhile are late, as on any cable. */
static void make_up(device *d, uint64_t now_ns) {
    uint64_t from_ns = d->looked_ns;
    if (now_ns - from_ns <= MISSED_PASS_NS || now_ns - from_ns > LONGEST_MADE_UP_NS) return;
    if (d->has_belt) (void)belt_count(&d->belt, now_ns); /* take the newest profile */
    double from = d->has_belt ? belt_counts(&d->belt, from_ns) - (double)d->epoch_count : 0.0;
    while (from_ns < now_ns) {
        uint64_t to_ns = now_ns - from_ns > PASS_NS ? from_ns + PASS_NS : now_ns;
        double to = d->has_belt ? belt_counts(&d->belt, to_ns) - (double)d->epoch_count : 0.0;
        (void)lockstep_advance(d->core, device_us(d, from_ns), device_us(d, to_ns), from, to);
        from_ns = to_ns;
        from = to;
    }
    d->count = sc_count(d->core);
}

static void look_at_belt(device *d, uint64_t now_ns) {
    int64_t count = belt_count(&d->belt, now_ns) - d->epoch_count;
    if (count != d->count) {
        uint64_t reached_ns = belt_reached_ns(&d->belt, d->looked_ns, now_ns, count + d->epoch_count);
        sc_encoder(d->core, device_us(d, reached_ns), count);
    }
    d->count = count;
    if (now_ns < d->sampled_ns) return;
    d->sampled_ns = now_ns + SAMPLE_NS;
    record_line(d->encoder_fd, "{\"at_us\":%" PRIu64 ",\"at_ns\":%" PRIu64 ",\"count\":%" PRId64 ",\"boot_id\":%" PRIu32 "}",
                device_us(d, now_ns), now_ns, count, d->boot_id);
}

/* Everything that has happened up to now: the passes left out, then the belt of this moment. */
static void catch_up(device *d, uint64_t now_ns) {
    make_up(d, now_ns);
    if (d->has_belt) look_at_belt(d, now_ns);
    d->looked_ns = now_ns;
}

static void note_edges(device *d, uint64_t now_ns) {
    int64_t rows[4 * EDGES_AT_ONCE];
    uint32_t n;
    while ((n = sc_take_edges(d->core, rows, EDGES_AT_ONCE)) > 0)
        for (const int64_t *row = rows; row < rows + 4 * n; row += 4)
            note_edge(d, row[0], row[1] != 0, (uint64_t)row[2], now_ns, row[3]);
}

static void note_state(device *d, uint64_t now_ns) {
    bool armed = sc_armed(d->core) != 0, permit = sc_permit(d->core) != 0;
    if (armed != d->armed) {
        char more[32];
        (void)snprintf(more, sizeof more, ",\"reason\":\"%s\"", disarm_reasons[sc_disarm_reason(d->core) & 7u]);
        note(d, armed ? "armed" : "disarmed", armed ? "" : more, now_ns);
    }
    if (permit != d->permit) note(d, "permit", permit ? ",\"on\":true" : ",\"on\":false", now_ns);
    d->armed = armed;
    d->permit = permit;
}

static void note_triggers(device *d, uint64_t now_ns) {
    uint32_t number = sc_trigger_number(d->core);
    if (number != d->triggers && number != 0) {
        char more[32];
        (void)snprintf(more, sizeof more, ",\"number\":%" PRIu32, number);
        note(d, "trigger", more, now_ns);
    }
    d->triggers = number;
}

/* As a board reads back its pins: those that were told to be stuck do not follow. */
static void read_back(const device *d, uint64_t now_ns) {
    uint32_t differs = (sc_levels(d->core) ^ d->stuck_levels) & d->stuck;
    sc_output_differs(d->core, sc_configured(d->core) ? differs : 0, device_us(d, now_ns));
}

/* What the port does not take stays in the core; what nobody could read is void. */
static void send(device *d) {
    static uint8_t bytes[BYTES_AT_ONCE]; /* one device per process: what a short write left waits here */
    static uint32_t used;
    if (d->port.fd < 0 || d->port.hung_up) {
        used = 0;
        sc_link_reset(d->core);
        return;
    }
    for (;;) {
        used += sc_transmit(d->core, bytes + used, BYTES_AT_ONCE - used);
        uint32_t sent = used > 0 ? pty_write(&d->port, bytes, used) : 0;
        if (sent == 0) return;
        used -= sent;
        memmove(bytes, bytes + sent, used);
    }
}

void device_step(device *d, uint64_t now_ns) {
    uint8_t bytes[BYTES_AT_ONCE];
    uint32_t n;
    replug(d, now_ns);
    catch_up(d, now_ns);
    while ((n = pty_read(&d->port, bytes, sizeof bytes)) > 0) {
        now_ns = device_now_ns(); /* after the read: a stamp before the byte would break the host's clock bound */
        catch_up(d, now_ns);      /* the read itself may have been kept waiting */
        sc_receive(d->core, bytes, n, device_us(d, now_ns));
    }
    read_back(d, now_ns);
    sc_tick(d->core, device_us(d, now_ns));
    note_edges(d, now_ns);
    note_state(d, now_ns);
    note_triggers(d, now_ns);
    send(d);
}
