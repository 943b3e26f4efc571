/* Undamaged frames from a file that the host's tests read too, and the bare receiver that damaged ones are given to. White-box. */
#ifndef STATION_FUZZ_GOLDEN_H
#define STATION_FUZZ_GOLDEN_H

#include "../core/internal.h"

enum { GOLDEN_MOST = 64, WIRE_MOST = SC_FRAME + 4 };

typedef struct {
    char name[64];
    uint8_t bytes[WIRE_MOST], frame[SC_FRAME]; /* on the wire with its zeros; decoded */
    uint32_t length, decoded;
} golden_frame;

extern golden_frame golden[GOLDEN_MOST];
extern uint32_t goldens;

sc_core *receiver(void);
bool read_golden(const char *path);
/* Gives bytes to the receiver; how often it took a frame other than `but` of `length`; NULL: any. */
uint64_t taken(sc_core *core, const uint8_t *bytes, uint32_t n, const uint8_t *but, uint32_t length);

#endif
