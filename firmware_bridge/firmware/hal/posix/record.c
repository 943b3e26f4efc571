/* Lines cross from the timing loop to a writer thread through a ring without locks: a disk that makes a write wait, and any
 * disk does now and then, must not make a gate wait. A full ring loses the line. */
#define _GNU_SOURCE
#include "record.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 4096, LINE = 232, REST_NS = 2000000 };

typedef struct {
    int fd;
    int length;
    char text[LINE];
} slot;

static slot ring[SLOTS];
static atomic_uint head, tail; /* head: next to be filled, tail: next to be written */
static atomic_bool ending;
static bool running;
static pthread_t writer;

static bool write_one(void) {
    unsigned at = atomic_load_explicit(&tail, memory_order_relaxed);
    if (at == atomic_load_explicit(&head, memory_order_acquire)) return false;
    const slot *s = &ring[at % SLOTS];
    ssize_t written = write(s->fd, s->text, (size_t)s->length);
    (void)written; /* a full disk must not stop the gates */
    atomic_store_explicit(&tail, at + 1, memory_order_release);
    return true;
}

static void *write_on(void *unused) {
    const struct timespec rest = {0, REST_NS};
    (void)unused;
    for (;;) {
        bool last = atomic_load(&ending); /* read first: what was recorded before the end is written */
        if (write_one()) continue;
        if (last) return NULL;
        (void)nanosleep(&rest, NULL);
    }
}

int record_open(const char *path) {
    if (path == NULL) return -1;
    if (!running) {
        /* An ordinary thread, also beside a loop with a real-time priority. */
        pthread_attr_t attributes;
        struct sched_param ordinary = {.sched_priority = 0};
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
        (void)pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
        (void)pthread_attr_setschedparam(&attributes, &ordinary);
        running = pthread_create(&writer, &attributes, write_on, NULL) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    return running ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
}

void record_line(int fd, const char *format, ...) {
    unsigned at = atomic_load_explicit(&head, memory_order_relaxed);
    if (fd < 0 || at - atomic_load_explicit(&tail, memory_order_acquire) >= SLOTS) return;
    slot *s = &ring[at % SLOTS];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(s->text, sizeof s->text - 1, format, arguments);
    va_end(arguments);
    if (n < 0 || n >= (int)sizeof s->text - 1) return;
    s->text[n] = '\n';
    s->fd = fd;
    s->length = n + 1;
    atomic_store_explicit(&head, at + 1, memory_order_release);
}

void record_close(void) {
    if (!running) return;
    atomic_store(&ending, true);
    (void)pthread_join(writer, NULL);
    running = false;
}
