/* Reads the belt profile without locks (the writer leaves an odd number while it writes) and evaluates it exactly. */
#define _GNU_SOURCE
#include "belt_profile.h"

#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = 32, RESOLUTION_NS = 500 };

_Static_assert(sizeof(belt_segment) == 32 && sizeof(belt_file) == HEADER_BYTES + BELT_SEGMENTS * 32, "the file's layout");

bool belt_open(belt *b, const char *path) {
    struct stat status;
    memset(b, 0, sizeof *b);
    b->seq = 1; /* odd: no copy yet */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool fits = fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(belt_file);
    void *map = fits ? mmap(NULL, sizeof(belt_file), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED) return false;
    b->file = map;
    return memcmp(b->file->magic, "STNBELT1", 8) == 0 && b->file->mm_per_count > 0.0;
}

static uint32_t read_seq(const belt *b) { return *(const volatile uint32_t *)&b->file->seq; }

/* Takes a copy when the writer has changed something; keeps the old one while it writes. */
static void refresh(belt *b) {
    uint32_t before = read_seq(b);
    if (before == b->seq || (before & 1u)) return;
    atomic_thread_fence(memory_order_acquire);
    belt_segment copy[BELT_SEGMENTS];
    uint32_t n = b->file->n;
    if (n > BELT_SEGMENTS) n = BELT_SEGMENTS;
    memcpy(copy, b->file->segment, n * sizeof copy[0]);
    atomic_thread_fence(memory_order_acquire);
    if (read_seq(b) != before) return;
    memcpy(b->segment, copy, n * sizeof copy[0]);
    b->n = n;
    b->seq = before;
}

double belt_counts(const belt *b, uint64_t now_ns) {
    if (b->n == 0) return 0.0;
    uint32_t i = b->n - 1;
    while (i > 0 && b->segment[i].t_ns > now_ns) i--;
    const belt_segment *s = &b->segment[i];
    double t = now_ns > s->t_ns ? (double)(now_ns - s->t_ns) * 1e-9 : 0.0;
    double position_mm = s->position_mm + (s->speed_mm_s + 0.5 * s->accel_mm_s2 * t) * t;
    return position_mm / b->file->mm_per_count;
}

static int64_t count_at(const belt *b, uint64_t now_ns) { return (int64_t)floor(belt_counts(b, now_ns)); }

int64_t belt_count(belt *b, uint64_t now_ns) {
    refresh(b);
    return count_at(b, now_ns);
}

uint64_t belt_reached_ns(const belt *b, uint64_t since_ns, uint64_t now_ns, int64_t count) {
    while (now_ns - since_ns > RESOLUTION_NS) {
        uint64_t middle_ns = since_ns + (now_ns - since_ns) / 2;
        if (count_at(b, middle_ns) == count) now_ns = middle_ns;
        else since_ns = middle_ns;
    }
    return now_ns;
}
