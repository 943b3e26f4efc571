/* Little-endian integers in and out of a payload, on any machine. A cursor walks along. */
#ifndef STATION_CORE_BYTES_H
#define STATION_CORE_BYTES_H

#include <stdint.h>

static inline void put_u8(uint8_t **at, uint8_t value) { *(*at)++ = value; }

static inline void put_u16(uint8_t **at, uint16_t value) {
    put_u8(at, (uint8_t)value);
    put_u8(at, (uint8_t)(value >> 8));
}

static inline void put_u32(uint8_t **at, uint32_t value) {
    put_u16(at, (uint16_t)value);
    put_u16(at, (uint16_t)(value >> 16));
}

static inline void put_u64(uint8_t **at, uint64_t value) {
    put_u32(at, (uint32_t)value);
    put_u32(at, (uint32_t)(value >> 32));
}

static inline uint8_t get_u8(const uint8_t **at) { return *(*at)++; }

static inline uint16_t get_u16(const uint8_t **at) {
    uint16_t low = get_u8(at);
    return (uint16_t)(low | (uint16_t)((uint16_t)get_u8(at) << 8));
}

static inline uint32_t get_u32(const uint8_t **at) {
    uint32_t low = get_u16(at);
    return low | ((uint32_t)get_u16(at) << 16);
}

static inline uint64_t get_u64(const uint8_t **at) {
    uint64_t low = get_u32(at);
    return low | ((uint64_t)get_u32(at) << 32);
}

#endif
