/* Gate configuration: staged gate by gate, valid only as a whole and under its CRC. Never while armed. */
#include "bytes.h"
#include "internal.h"

enum { LEASE_MIN_MS = 100, LEASE_MAX_MS = 1000, DELAY_MAX_US = 1000000, LATE_MAX_US = 100000, HOLD_MAX_US = 60000000 };
enum { FAR_MAX_MS = 600000, FAR_MAX_COUNT = 16777216, GATE_BYTES = 23, COMMIT_BYTES = 19 };

sc_error sc_config_gate(sc_core *core, const uint8_t *payload) {
    if (core->armed) return ERROR_ARMED;
    uint8_t gate = get_u8(&payload);
    if (gate >= core->gates) return ERROR_ARGUMENT;
    sc_gate_config *config = &core->config.gate[gate];
    core->config.crc = 0; /* what was committed is no longer what is held */
    config->safe_level = get_u8(&payload);
    config->min_hold_us = get_u32(&payload);
    config->max_hold_us = get_u32(&payload);
    config->min_gap_us = get_u32(&payload);
    config->opening_us = get_u32(&payload);
    config->closing_us = get_u32(&payload);
    config->max_duty_permille = get_u16(&payload);
    return ERROR_NONE;
}

static bool gate_sound(const sc_gate_config *config) {
    return config->safe_level <= 1 && config->max_hold_us > 0 && config->max_hold_us <= HOLD_MAX_US &&
           config->min_hold_us <= config->max_hold_us && config->min_gap_us <= HOLD_MAX_US &&
           config->opening_us <= DELAY_MAX_US && config->closing_us <= DELAY_MAX_US && config->max_duty_permille >= 1 &&
           config->max_duty_permille <= 1000;
}

static uint8_t *put_gate(uint8_t *at, const sc_gate_config *config) {
    put_u8(&at, config->safe_level);
    put_u32(&at, config->min_hold_us);
    put_u32(&at, config->max_hold_us);
    put_u32(&at, config->min_gap_us);
    put_u32(&at, config->opening_us);
    put_u32(&at, config->closing_us);
    put_u16(&at, config->max_duty_permille);
    return at;
}

static uint8_t *put_common(uint8_t *at, const sc_config *config) {
    put_u8(&at, config->gates);
    put_u16(&at, config->lease_ms);
    put_u32(&at, config->max_late_us);
    put_u32(&at, config->nm_per_count);
    put_u32(&at, config->far_ms);
    put_u32(&at, config->far_count);
    put_u32(&at, config->crc);
    return at;
}

/* What is held, as it came: of one gate, or with NO_GATE the common values. Writes nothing for a gate that there is not. */
uint8_t *sc_config_put(const sc_core *core, uint8_t gate, uint8_t *at) {
    if (gate == NO_GATE) return put_common(at, &core->config);
    if (gate >= core->gates) return at;
    put_u8(&at, gate);
    return put_gate(at, &core->config.gate[gate]);
}

static uint32_t gate_crc(uint32_t crc, const sc_gate_config *config) {
    uint8_t bytes[GATE_BYTES];
    (void)put_gate(bytes, config);
    return sc_crc32(crc, bytes, sizeof bytes);
}

static bool common_sound(const sc_config *config) {
    return config->lease_ms >= LEASE_MIN_MS && config->lease_ms <= LEASE_MAX_MS && config->max_late_us <= LATE_MAX_US &&
           config->far_ms <= FAR_MAX_MS && config->far_count <= FAR_MAX_COUNT;
}

sc_error sc_config_commit(sc_core *core, const uint8_t *payload, uint8_t *bad_gate) {
    *bad_gate = NO_GATE;
    if (core->armed) return ERROR_ARMED;
    const uint8_t *covered = payload;
    sc_config *config = &core->config;
    config->crc = 0;
    config->gates = get_u8(&payload);
    config->lease_ms = get_u16(&payload);
    config->max_late_us = get_u32(&payload);
    config->nm_per_count = get_u32(&payload);
    config->far_ms = get_u32(&payload);
    config->far_count = get_u32(&payload);
    uint32_t wanted = get_u32(&payload), crc = 0;
    if (config->gates == 0 || config->gates > core->gates || !common_sound(config)) {
        config->gates = 0;
        return ERROR_ARGUMENT;
    }
    for (uint8_t g = 0; g < config->gates; g++) {
        *bad_gate = g;
        if (!gate_sound(&config->gate[g])) return ERROR_ARGUMENT;
        crc = gate_crc(crc, &config->gate[g]);
    }
    *bad_gate = NO_GATE;
    if (sc_crc32(crc, covered, COMMIT_BYTES) != wanted || wanted == 0) return ERROR_CRC;
    config->crc = wanted;
    return ERROR_NONE;
}
