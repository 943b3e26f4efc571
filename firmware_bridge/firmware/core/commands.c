/* DIVERT: what is taken, what is refused and why, and what was answered to each id. */
#include "bytes.h"
#include "internal.h"

enum { ARGUMENT_BYTES = 21 };

static const int64_t LARGEST_COUNT = (int64_t)1 << 48;
static const int64_t LONGEST_COUNT = (int64_t)1 << 24;

static sc_command parse(const uint8_t *payload) {
    sc_command command = {.id = get_u32(&payload)};
    uint32_t mask = get_u32(&payload);
    command.mask = (sc_mask)mask;
    if (command.mask != mask) command.mask = 0; /* gates this build cannot have */
    command.mode = get_u8(&payload);
    command.start = (int64_t)get_u64(&payload);
    command.end = (int64_t)get_u64(&payload);
    return command;
}

static bool well_formed(const sc_core *core, const sc_command *command) {
    sc_mask beyond = core->config.gates >= 8 * sizeof(sc_mask) ? 0 : (sc_mask)(command->mask >> core->config.gates);
    if (command->mask == 0 || beyond != 0 || command->end <= command->start) return false;
    if (command->mode == MODE_TIME) return command->start >= 0;
    if (command->mode != MODE_COUNT || !core->has_encoder || core->config.nm_per_count == 0) return false;
    return command->start > -LARGEST_COUNT && command->end < LARGEST_COUNT;
}

static bool too_far(const sc_core *core, const sc_command *command, uint64_t now_us) {
    if (command->mode == MODE_TIME) return command->start - (int64_t)now_us > (int64_t)core->config.far_ms * 1000;
    return command->start - core->encoder.count > (int64_t)core->config.far_count;
}

static bool too_late(const sc_core *core, const sc_command *command, const sc_now *now) {
    for (uint8_t g = 0; g < core->config.gates; g++) {
        if (!(command->mask & sc_bit(g))) continue;
        sc_edge_due edge = sc_on_edge(core, command, g, now);
        if (edge.due && edge.late_us > core->config.max_late_us) return true;
    }
    return false;
}

static bool limited(const sc_core *core, const sc_command *command, const sc_now *now) {
    if (command->mode == MODE_COUNT && command->end - command->start > LONGEST_COUNT) return true;
    for (uint8_t g = 0; g < core->config.gates; g++)
        if ((command->mask & sc_bit(g)) && !sc_within_limits(core, command, g, now)) return true;
    return false;
}

static sc_answer judge(sc_core *core, const sc_command *command, uint64_t now_us) {
    if (!core->armed) return ANSWER_NOT_ARMED;
    if (!well_formed(core, command)) return ANSWER_BAD_ARGUMENT;
    if (too_far(core, command, now_us)) return ANSWER_FAR;
    sc_now now = sc_now_at(core, now_us);
    if (too_late(core, command, &now)) return ANSWER_LATE;
    if (core->queued == SC_QUEUE || !sc_event_room(core)) return ANSWER_FULL;
    if (limited(core, command, &now)) return ANSWER_GATE_LIMIT;
    return ANSWER_QUEUED;
}

static const sc_remembered *recall(const sc_core *core, uint32_t id) {
    for (uint16_t i = 0; i < core->remembered_count; i++)
        if (core->remembered[i].id == id) return &core->remembered[i];
    return NULL;
}

static bool is_queued(const sc_core *core, uint32_t id) {
    for (uint16_t i = 0; i < core->queued; i++)
        if (core->queue[i].id == id) return true;
    return false;
}

/* Forgets the oldest answer, but never one whose command is still queued. */
static void remember(sc_core *core, uint32_t id, uint32_t arguments, sc_answer answer) {
    if (core->remembered_count < SC_IDS) {
        core->remembered_count++;
    } else {
        while (is_queued(core, core->remembered[core->remembered_next].id))
            core->remembered_next = (uint16_t)((core->remembered_next + 1u) % SC_IDS);
    }
    core->remembered[core->remembered_next] = (sc_remembered){id, arguments, (uint8_t)answer};
    core->remembered_next = (uint16_t)((core->remembered_next + 1u) % SC_IDS);
}

sc_answer sc_command_take(sc_core *core, const uint8_t *payload, uint64_t now_us) {
    sc_command command = parse(payload);
    if (command.id == 0) return ANSWER_BAD_ARGUMENT;
    uint32_t arguments = sc_crc32(0, payload + sizeof command.id, ARGUMENT_BYTES);
    const sc_remembered *known = recall(core, command.id);
    if (known != NULL) return known->arguments == arguments ? (sc_answer)known->answer : ANSWER_ID_CONFLICT;
    sc_answer answer = judge(core, &command, now_us);
    remember(core, command.id, arguments, answer);
    if (answer == ANSWER_QUEUED) {
        core->queue[core->queued++] = command;
        core->schedule_due_us = 0;
    }
    return answer;
}

void sc_commands_forget(sc_core *core) { core->remembered_count = core->remembered_next = 0; }
