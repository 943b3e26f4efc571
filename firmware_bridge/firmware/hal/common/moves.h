/* What a timer interrupt needs to move outputs by itself: the planned moves in order, and a log of what it did.
 *
 * The main loop builds a list after each tick and hands it over while nothing in the log waits to be told; the interrupt
 * walks along it. Shared by every HAL with a timer, and by the virtual-time board that plays one. Needs SC_GATES. */
#ifndef STATION_MOVES_H
#define STATION_MOVES_H

#include "../../core/sizes.h"
#include "../../core/station_core.h"

#ifndef SC_TICKS_PER_US
#define SC_TICKS_PER_US 1u
#endif
#ifndef SC_MOVES
#define SC_MOVES (2 * SC_GATES)
#endif
#if SC_GATES <= 8
typedef uint8_t move_mask;
#else
typedef uint32_t move_mask;
#endif

enum { MOVES_LOG = 8 * (1 + SC_MOVES / 8) }; /* more than can happen in one pass: every move of a list, and one that waited for its count */

typedef struct {
    uint32_t at;    /* ticks */
    uint16_t count; /* not before the encoder's low bits have reached this ... */
    bool waits;     /* ... if so */
    move_mask on, off;
} board_move;

typedef struct {
    board_move move[SC_MOVES]; /* by time */
    uint8_t used, next;
} board_moves;

static inline __attribute__((always_inline)) bool moves_reached(uint16_t count, uint16_t wanted) { return (int16_t)(uint16_t)(count - wanted) >= 0; }

/* Moves of one moment share one write to the port. */
static inline void moves_insert(board_moves *list, board_move move) {
    uint8_t at = list->used;
    while (at > 0 && (int32_t)(list->move[at - 1].at - move.at) > 0) at--;
    board_move *same = at > 0 ? &list->move[at - 1] : 0;
    if (same && same->at == move.at && same->waits == move.waits && same->count == move.count) {
        same->on |= move.on;
        same->off |= move.off;
        return;
    }
    if (at == SC_MOVES) return;
    if (list->used < SC_MOVES) list->used++; /* else the last one is told again with the next plan */
    for (uint8_t i = (uint8_t)(list->used - 1u); i > at; i--) list->move[i] = list->move[i - 1];
    list->move[at] = move;
}

static inline board_move moves_make(const sc_moment *moment, uint32_t now_ticks, move_mask on, move_mask off) {
    return (board_move){now_ticks + (uint32_t)moment->in_us * SC_TICKS_PER_US, moment->count, moment->waits, on, off};
}

/* `now_ticks` is the timer at now_us. */
static inline void moves_plan(board_moves *list, const sc_core *core, uint8_t gates, uint64_t now_us, uint32_t now_ticks) {
    sc_now now = sc_now_at(core, now_us);
    list->used = list->next = 0;
    for (uint8_t g = 0; g < gates; g++) {
        sc_pulse pulse;
        if (!sc_plan(core, g, &now, &pulse)) continue;
        move_mask bit = (move_mask)((move_mask)1u << g);
        if (!pulse.is_on) moves_insert(list, moves_make(&pulse.on, now_ticks, bit, 0));
        if (pulse.off.in_us != INT32_MAX) moves_insert(list, moves_make(&pulse.off, now_ticks, 0, bit));
    }
}

#endif
