/* The device process: its state, and what its files offer each other. */
#ifndef STATION_DEVICE_H
#define STATION_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "belt_profile.h"
#include "posix_hal.h"
#include "pty_port.h"

typedef struct {
    const char *profile, *edges, *encoder, *device, *link;
    uint8_t gates;
} device_options;

typedef struct {
    sc_core *core;
    device_options options;
    pty_port port;
    belt belt;
    bool has_belt, quit;
    uint8_t gates;
    uint32_t boot_id;
    uint64_t boot_ns;
    int64_t epoch_count; /* of the belt at boot */
    int64_t count;       /* since boot */
    uint64_t looked_ns;  /* of the last pass */
    uint64_t replug_ns;  /* UINT64_MAX: plugged, or not coming back by itself */
    uint64_t sampled_ns;
    int edges_fd, encoder_fd, device_fd;
    bool armed, permit;
    uint32_t triggers;            /* noted so far */
    uint32_t stuck, stuck_levels; /* pins that do not follow, and where they stand */
} device;

uint64_t device_now_ns(void);
uint64_t device_us(const device *d, uint64_t now_ns);
void device_boot(device *d, uint8_t reset_cause, uint64_t now_ns);
void device_reboot(device *d, uint64_t now_ns);
void device_unplug(device *d, double seconds, uint64_t now_ns);
/* The computer did not let it run for so long; `queued_ns` of it since the last note it waited for a processor that another
 * task had. The rest is the machine below: a page to be read, an interrupt, a host of virtual machines. */
void device_stalled(const device *d, uint64_t late_ns, uint64_t queued_ns, uint64_t now_ns);
/* The process ends: outputs fall. */
void device_stop(device *d, uint64_t now_ns);
/* One pass: bytes, belt, core, records. */
void device_step(device *d, uint64_t now_ns);

#endif
