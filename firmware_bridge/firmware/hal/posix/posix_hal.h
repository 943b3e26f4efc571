/* What the shared library offers besides the core: lock-step for virtual time, and the device as a process. */
#ifndef STATION_POSIX_HAL_H
#define STATION_POSIX_HAL_H

#include "../../core/station_core.h"

/* Lives the core from from_us to to_us on a belt that moves evenly from position from_counts to to_counts (in counts
 * since boot, with their fraction): every count and every due moment between them is met exactly. Returns sc_waiting. */
SC_API uint32_t lockstep_advance(sc_core *core, uint64_t from_us, uint64_t to_us, double from_counts, double to_counts);

/* The core on a small board: its loop takes loop_us, its timer moves the outputs in between. See timer_board.c. The edges are
 * those of its pins, three numbers each: gate, on, at_us; `rows` has room for 4096. */
typedef struct timer_board timer_board;
SC_API uint32_t timer_board_size(void);
SC_API void timer_board_init(timer_board *board, uint32_t loop_us);
SC_API uint32_t timer_board_advance(timer_board *board, sc_core *core, uint64_t from_us, uint64_t to_us, double from_counts,
                                    double to_counts);
SC_API uint32_t timer_board_edges(timer_board *board, int64_t *rows);

/* The device as an ordinary process on a pseudo-terminal; returns at quit or SIGTERM. See device_main.c. */
SC_API int posix_run(int argc, char **argv);

#endif
