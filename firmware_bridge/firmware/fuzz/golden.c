#include "golden.h"

#include <stdio.h>

#include "receive.h"

golden_frame golden[GOLDEN_MOST];
uint32_t goldens;

uint64_t taken(sc_core *core, const uint8_t *bytes, uint32_t n, const uint8_t *but, uint32_t length) {
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n; i++) {
        sc_frame frame;
        if (!sc_frame_byte(core, bytes[i], &frame)) continue;
        uint32_t whole = (uint32_t)frame.length + 6u;
        if (but == NULL || whole != length || memcmp(core->rx, but, whole) != 0) wrong++;
    }
    return wrong;
}

sc_core *receiver(void) {
    static uint64_t memory[sizeof(sc_core) / 8 + 1];
    sc_init((sc_core *)memory, 1, 2, SC_RESET_POWER, 8, 1);
    return (sc_core *)memory;
}

bool read_golden(const char *path) {
    FILE *file = fopen(path, "r");
    char line[512], hex[400];
    while (file != NULL && goldens < GOLDEN_MOST && fgets(line, sizeof line, file) != NULL) {
        golden_frame *new = &golden[goldens];
        if (line[0] == '#' || sscanf(line, "%63s %399s", new->name, hex) != 2) continue;
        uint8_t *at = new->bytes;
        unsigned value;
        *at++ = 0;
        for (const char *h = hex; sscanf(h, "%2x", &value) == 1 && at < new->bytes + WIRE_MOST - 1; h += 2) *at++ = (uint8_t)value;
        *at++ = 0;
        new->length = (uint32_t)(at - new->bytes);
        sc_core *core = receiver();
        must(taken(core, new->bytes, new->length, NULL, 0) == 1, "a golden frame is taken");
        new->decoded = new->length - 3 - 4;
        memcpy(new->frame, core->rx, SC_FRAME);
        goldens++;
    }
    if (file != NULL) fclose(file);
    return goldens > 0;
}
