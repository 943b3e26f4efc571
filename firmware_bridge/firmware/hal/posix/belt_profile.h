/* The simulated belt as the line process publishes it: a mapped file of segments of even acceleration.
 * Layout: PROTOCOL.md, "Belt profile file". */
#ifndef STATION_BELT_PROFILE_H
#define STATION_BELT_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

enum { BELT_SEGMENTS = 256 };

typedef struct {
    uint64_t t_ns;
    double position_mm, speed_mm_s, accel_mm_s2;
} belt_segment;

typedef struct {
    char magic[8];
    uint32_t seq, n;
    double mm_per_count, reserved;
    belt_segment segment[BELT_SEGMENTS];
} belt_file;

typedef struct {
    const belt_file *file;
    uint32_t seq; /* of the copy below */
    uint32_t n;
    belt_segment segment[BELT_SEGMENTS];
} belt;

bool belt_open(belt *b, const char *path);
int64_t belt_count(belt *b, uint64_t now_ns);
/* The same with its fraction, by the copy that belt_count took last. */
double belt_counts(const belt *b, uint64_t now_ns);
/* When the belt came to `count`, where it stands at now_ns but did not stand at since_ns. */
uint64_t belt_reached_ns(const belt *b, uint64_t since_ns, uint64_t now_ns, int64_t count);

#endif
