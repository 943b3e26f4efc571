/* A small board in virtual time: a main loop that takes as long as it is told, and a timer interrupt that moves the outputs.
 *
 * The same planning and the same list of moves as on the real boards, so that what their interrupts do between two passes is
 * under test where every microsecond is known. What a pass decides reaches the pins only half a pass later. */
#include "../common/moves.h"

#include <math.h>
#include <string.h>

#include "posix_hal.h"

enum { PIN_EDGES = 4096 };

struct timer_board {
    uint32_t loop_us;
    uint64_t pass_us, publish_us; /* the next ones */
    board_moves moves, coming;
    uint32_t acting, wanted; /* pins; what the pass decided */
    board_move parked;
    bool is_parked, armed;
    int64_t count, told_count;
    uint64_t count_us;
    struct {
        uint64_t at_us;
        uint32_t on, off;
    } log[MOVES_LOG];
    uint32_t logged;
    int64_t edge[PIN_EDGES][3]; /* gate, on, at_us */
    uint32_t edges;
};

uint32_t timer_board_size(void) { return sizeof(timer_board); }

void timer_board_init(timer_board *b, uint32_t loop_us) {
    memset(b, 0, sizeof *b);
    b->loop_us = loop_us;
    b->publish_us = UINT64_MAX;
}

static void set_pins(timer_board *b, uint32_t acting, uint64_t now_us) {
    for (uint32_t changed = b->acting ^ acting, g = 0; changed != 0; changed >>= 1, g++) {
        if (!(changed & 1u) || b->edges == PIN_EDGES) continue;
        int64_t *row = b->edge[b->edges++];
        row[0] = g;
        row[1] = acting >> g & 1u;
        row[2] = (int64_t)now_us;
    }
    b->acting = acting;
}

static void fire(timer_board *b, const board_move *move, uint64_t now_us) {
    set_pins(b, (b->acting | move->on) & ~move->off, now_us);
    b->log[b->logged].at_us = now_us;
    b->log[b->logged].on = move->on;
    b->log[b->logged++].off = move->off;
}

static void timer_interrupt(timer_board *b, uint64_t now_us) {
    const board_move *move = &b->moves.move[b->moves.next++];
    b->is_parked = move->waits && !moves_reached((uint16_t)b->count, move->count);
    if (b->is_parked) b->parked = *move;
    else fire(b, move, now_us);
}

static void encoder_interrupt(timer_board *b, uint64_t now_us, int64_t count) {
    b->count = count;
    b->count_us = now_us;
    if (!b->is_parked || !moves_reached((uint16_t)count, b->parked.count)) return;
    b->is_parked = false;
    fire(b, &b->parked, now_us);
}

static void pass(timer_board *b, sc_core *core, uint64_t now_us) {
    for (uint32_t i = 0; i < b->logged; i++) sc_moved(core, b->log[i].on, b->log[i].off, b->log[i].at_us);
    b->logged = 0;
    if (b->count != b->told_count) sc_encoder(core, b->count_us, b->count);
    b->told_count = b->count;
    sc_tick(core, now_us);
    moves_plan(&b->coming, core, SC_GATES, now_us, (uint32_t)now_us);
    b->wanted = sc_outputs(core);
    b->armed = sc_armed(core) != 0;
    b->pass_us = now_us + b->loop_us;
    b->publish_us = now_us + b->loop_us / 2u;
}

/* Not while the timer has moved something the core has not heard of; disarmed is off at once. */
static void publish(timer_board *b, uint64_t now_us) {
    b->publish_us = UINT64_MAX;
    if (b->logged > 0 && b->armed) return;
    set_pins(b, b->wanted, now_us);
    b->moves = b->coming;
    b->is_parked = false;
}

/* As on the boards: what a STOP has taken back does not wait for a pass. */
static void disarmed(timer_board *b, const sc_core *core, uint64_t now_us) {
    if (!b->armed || sc_armed(core)) return;
    b->armed = b->is_parked = false;
    b->moves.used = b->moves.next = 0;
    b->coming = b->moves;
    b->wanted = sc_outputs(core);
    set_pins(b, b->wanted, now_us);
}

static uint64_t move_us(const timer_board *b, uint64_t now_us) {
    if (b->moves.next == b->moves.used) return UINT64_MAX;
    int32_t left = (int32_t)(b->moves.move[b->moves.next].at - (uint32_t)now_us);
    return left > 0 ? now_us + (uint32_t)left : now_us;
}

static uint64_t first_of(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint32_t timer_board_advance(timer_board *b, sc_core *core, uint64_t from_us, uint64_t to_us, double from_counts, double to_counts) {
    double per_us = to_us > from_us ? (to_counts - from_counts) / (double)(to_us - from_us) : 0.0;
    uint64_t now_us = from_us;
    disarmed(b, core, now_us);
    for (;;) {
        uint64_t count_us = UINT64_MAX;
        int64_t next = per_us > 0.0 ? b->count + 1 : b->count - 1;
        if (per_us != 0.0) {
            double after_us = ((double)(per_us > 0.0 ? next : b->count) - from_counts) / per_us;
            count_us = after_us <= 0.0 ? now_us : from_us + (uint64_t)ceil(after_us);
        }
        uint64_t timer_us = move_us(b, now_us), loop_us = first_of(b->pass_us, b->publish_us);
        uint64_t event_us = first_of(first_of(count_us, timer_us), loop_us);
        if (event_us > to_us) break;
        if (event_us > now_us) now_us = event_us;
        if (event_us == count_us) encoder_interrupt(b, now_us, next);
        else if (event_us == timer_us) timer_interrupt(b, now_us);
        else if (event_us == b->publish_us) publish(b, now_us);
        else pass(b, core, now_us);
    }
    return sc_waiting(core);
}

uint32_t timer_board_edges(timer_board *b, int64_t *rows) {
    uint32_t n = b->edges;
    memcpy(rows, b->edge, n * sizeof b->edge[0]);
    b->edges = 0;
    return n;
}
