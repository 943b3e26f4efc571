/* What the shared library offers besides the core: lock-step for virtual time, and the device as a process. */
#ifndef STATION_POSIX_HAL_H
#define STATION_POSIX_HAL_H

#include "../../core/station_core.h"

/* Lives the core from from_us to to_us on a belt that moves evenly from position from_counts to to_counts (in counts
 * since boot, with their fraction): every count and every due moment between them is met exactly. Returns sc_waiting. */
SC_API uint32_t lockstep_advance(sc_core *core, uint64_t from_us, uint64_t to_us, double from_counts, double to_counts);

/* The device as an ordinary process on a pseudo-terminal; returns at quit or SIGTERM. See device_main.c. */
SC_API int posix_run(int argc, char **argv);

#endif
