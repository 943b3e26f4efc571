/* Bytes to frames and back: COBS between zeros, CRC-32 behind. Knows no message. */
#include "bytes.h"
#include "internal.h"

enum { HEAD = 6, TAIL = 4 };

static const uint32_t crc_nibble[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
    0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

uint32_t sc_crc32(uint32_t crc, const uint8_t *data, uint32_t length) {
    crc = ~crc;
    for (uint32_t i = 0; i < length; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ crc_nibble[crc & 15u];
        crc = (crc >> 4) ^ crc_nibble[crc & 15u];
    }
    return ~crc;
}

static bool frame_complete(sc_core *core, sc_frame *frame) {
    bool whole = !core->rx_broken && core->rx_left == 0 && core->rx_length >= HEAD + TAIL;
    if (whole) {
        uint8_t body = (uint8_t)(core->rx_length - TAIL);
        const uint8_t *at = core->rx + body;
        whole = get_u32(&at) == sc_crc32(0, core->rx, body);
        at = core->rx;
        frame->type = get_u8(&at);
        frame->seq = get_u8(&at);
        frame->session = get_u32(&at);
        frame->payload = at;
        frame->length = (uint8_t)(body - HEAD);
    }
    if (!whole && core->rx_any) core->crc_errors = sc_one_more(core->crc_errors);
    core->rx_length = core->rx_code = core->rx_left = 0;
    core->rx_broken = core->rx_any = false;
    return whole;
}

static void decoded(sc_core *core, uint8_t byte) {
    if (core->rx_length == SC_FRAME) core->rx_broken = true;
    else core->rx[core->rx_length++] = byte;
}

/* True when `byte` ended an undamaged frame; it stays valid until the next call. */
bool sc_frame_byte(sc_core *core, uint8_t byte, sc_frame *frame) {
    if (byte == 0) return frame_complete(core, frame);
    core->rx_any = true;
    if (core->rx_broken) return false;
    if (core->rx_left > 0) {
        core->rx_left--;
        decoded(core, byte);
        return false;
    }
    /* A code byte: the run before it, unless it was the first, stood for a zero. A full run (code 255) is longer than any frame. */
    if (core->rx_code != 0) decoded(core, 0);
    core->rx_code = byte;
    core->rx_left = (uint8_t)(byte - 1u);
    return false;
}

static void tx_put(sc_core *core, uint8_t byte) {
    core->tx[(core->tx_first + core->tx_used) % SC_TX] = byte;
    core->tx_used++;
}

static void tx_cobs(sc_core *core, const uint8_t *data, uint8_t length) {
    uint8_t start = 0;
    for (uint8_t i = 0; i <= length; i++) {
        if (i < length && data[i] != 0) continue;
        tx_put(core, (uint8_t)(i - start + 1u));
        while (start < i) tx_put(core, data[start++]);
        start++;
    }
}

/* False, and nothing sent, when less than the frame and `keep_free` bytes are free. */
bool sc_frame_send(sc_core *core, uint8_t type, uint32_t session, const uint8_t *payload, uint8_t length, uint16_t keep_free) {
    uint8_t frame[SC_FRAME];
    uint8_t *at = frame;
    uint32_t on_wire = (uint32_t)HEAD + length + TAIL + 3u;
    if (on_wire + keep_free > (uint32_t)(SC_TX - core->tx_used)) return false;
    put_u8(&at, type);
    put_u8(&at, core->tx_seq++);
    put_u32(&at, session);
    memcpy(at, payload, length);
    at += length;
    put_u32(&at, sc_crc32(0, frame, (uint32_t)(at - frame)));
    tx_put(core, 0);
    tx_cobs(core, frame, (uint8_t)(at - frame));
    tx_put(core, 0);
    return true;
}
