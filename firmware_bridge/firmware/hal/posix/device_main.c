/* The device as an ordinary process in wall time: options, priorities, and when to wake.
 *
 *   virtual_device [--profile FILE] [--edges FILE] [--encoder FILE] [--device FILE] [--link PATH] [--gates N]
 *
 * Prints {"port": ..., "pid": ...} once it can be opened. Reads lines on stdin: `reboot`, `unplug SECONDS`, `estop 0|1`,
 * `belt 0|1` (the belt-running input), `stuck GATE LEVEL` (a pin that does not follow), `free`, `quit`; the end of a pipe there quits too. SIGTERM: outputs off, exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "record.h"

enum { BUSY_NS = 1000000, IDLE_NS = 5000000, EARLY_NS = 120000, STALL_NS = 2000000, PRIORITY = 20, NICE = -10 };

static volatile sig_atomic_t terminated;

static void on_signal(int signal) {
    (void)signal;
    terminated = 1;
}

/* Punctual if the system lets us; silently ordinary if not. */
static void be_punctual(void) {
    struct sched_param parameters = {.sched_priority = PRIORITY};
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) != 0) (void)setpriority(PRIO_PROCESS, 0, NICE);
    (void)prctl(PR_SET_TIMERSLACK, 1ul);
    (void)mlockall(MCL_CURRENT); /* no page of this program is read from a disk between two edges */
}

static void obey(device *d, const char *line, uint64_t now_ns) {
    double seconds = 0.0;
    unsigned level = 0, gate = 0;
    uint64_t now_us = device_us(d, now_ns);
    if (strcmp(line, "quit") == 0) d->quit = true;
    else if (strcmp(line, "reboot") == 0) device_reboot(d, now_ns);
    else if (sscanf(line, "unplug %lf", &seconds) == 1) device_unplug(d, seconds, now_ns);
    else if (sscanf(line, "estop %u", &level) == 1) sc_set_input(d->core, SC_PIN_ESTOP, level != 0, now_us);
    else if (sscanf(line, "belt %u", &level) == 1) sc_set_input(d->core, SC_PIN_BELT_RUNNING, level != 0, now_us);
    else if (sscanf(line, "stuck %u %u", &gate, &level) == 2 && gate < d->gates) {
        d->stuck |= (uint32_t)1 << gate;
        if (level) d->stuck_levels |= (uint32_t)1 << gate;
    } else if (strcmp(line, "free") == 0) d->stuck = d->stuck_levels = 0;
    else fprintf(stderr, "virtual_device: unknown command: %s\n", line);
}

/* False at the end of stdin. */
static bool read_commands(device *d, uint64_t now_ns) {
    static char buffer[256];
    static size_t used;
    ssize_t n = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    used += (size_t)n;
    buffer[used] = '\0';
    char *line = buffer, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        obey(d, line, now_ns);
        line = end + 1;
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
    if (used == sizeof buffer - 1) used = 0; /* a line this long is no command */
    return true;
}

/* How long to sleep: short of the next edge, so that the last stretch is waited for awake. */
static int64_t sleep_ns(const device *d, uint64_t now_ns) {
    uint64_t due_us = sc_next_due_us(d->core), edge_us = sc_next_edge_us(d->core), now_us = device_us(d, now_ns);
    int64_t longest = sc_wake_count(d->core) == INT64_MAX ? IDLE_NS : BUSY_NS;
    if (due_us <= now_us) return 0;
    int64_t until_due = due_us - now_us > 1000000u ? IDLE_NS : (int64_t)(due_us - now_us) * 1000;
    int64_t until_edge = edge_us - now_us > 1000000u ? IDLE_NS : (int64_t)(edge_us - now_us) * 1000 - EARLY_NS;
    int64_t sleep = until_due < until_edge ? until_due : until_edge;
    if (sleep > longest) sleep = longest;
    return sleep > 0 ? sleep : 0;
}

static bool ends_with_stdin(void) {
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

/* For how long this thread has waited for a processor since it began: run time, waiting time, turns. */
static uint64_t queued_ns(int schedstat) {
    char text[96];
    uint64_t ran = 0, queued = 0;
    ssize_t n = schedstat < 0 ? -1 : pread(schedstat, text, sizeof text - 1, 0);
    if (n <= 0) return 0;
    text[n] = '\0';
    return sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &queued) == 2 ? queued : 0;
}

static void loop(device *d) {
    bool listening = true;
    int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    uint64_t queued_before = queued_ns(schedstat);
    while (!d->quit && !terminated) {
        uint64_t now_ns = device_now_ns();
        device_step(d, now_ns);
        int64_t pause = sleep_ns(d, now_ns);
        if (pause == 0) continue; /* an edge is near: look again at once */
        struct pollfd inputs[2] = {{d->port.hung_up ? -1 : d->port.fd, POLLIN, 0}, {listening ? STDIN_FILENO : -1, POLLIN, 0}};
        struct timespec timeout = {0, pause};
        int ready = ppoll(inputs, 2, &timeout, NULL);
        uint64_t woken_ns = device_now_ns();
        if (woken_ns > now_ns + (uint64_t)pause + STALL_NS) {
            uint64_t queued = queued_ns(schedstat), since = queued - queued_before;
            queued_before = queued;
            device_stalled(d, woken_ns - now_ns - (uint64_t)pause, since, woken_ns);
        }
        if (ready <= 0 || inputs[1].revents == 0) continue;
        if (!read_commands(d, device_now_ns())) {
            listening = false;
            d->quit = ends_with_stdin();
        }
    }
    if (schedstat >= 0) close(schedstat);
}

static bool parse(int argc, char **argv, device_options *options) {
    static const struct option known[] = {{"profile", 1, 0, 'p'}, {"edges", 1, 0, 'e'}, {"encoder", 1, 0, 'c'}, {"device", 1, 0, 'd'},
                                          {"link", 1, 0, 'l'},    {"gates", 1, 0, 'g'}, {0, 0, 0, 0}};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'p') options->profile = optarg;
        else if (option == 'e') options->edges = optarg;
        else if (option == 'c') options->encoder = optarg;
        else if (option == 'd') options->device = optarg;
        else if (option == 'l') options->link = optarg;
        else if (option == 'g') options->gates = (uint8_t)atoi(optarg);
        else return false;
    }
    return optind == argc && options->gates >= 1 && options->gates <= 32;
}

static int run(device *d) {
    const device_options *options = &d->options;
    d->edges_fd = record_open(options->edges);
    d->encoder_fd = record_open(options->encoder);
    d->device_fd = record_open(options->device);
    d->gates = options->gates;
    d->has_belt = options->profile != NULL;
    if (d->has_belt && !belt_open(&d->belt, options->profile)) {
        fprintf(stderr, "virtual_device: %s is no belt profile\n", options->profile);
        return 2;
    }
    d->port.link = options->link;
    d->replug_ns = UINT64_MAX;
    if (!pty_plug(&d->port)) {
        fprintf(stderr, "virtual_device: no pseudo-terminal%s%s: %s\n", options->link ? " at " : "", options->link ? options->link : "",
                strerror(errno));
        return 2;
    }
    uint64_t now_ns = device_now_ns();
    d->boot_id = (uint32_t)(now_ns >> 10) | 1u;
    device_boot(d, SC_RESET_POWER, now_ns);
    printf("{\"port\":\"%s\",\"pid\":%d}\n", options->link ? options->link : d->port.name, (int)getpid());
    fflush(stdout);
    be_punctual();
    loop(d);
    device_stop(d, device_now_ns());
    pty_unplug(&d->port);
    return 0;
}

int posix_run(int argc, char **argv) {
    device *d = calloc(1, sizeof *d);
    sc_core *core = calloc(1, sc_size());
    int status = 2;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (d != NULL && core != NULL) {
        d->core = core;
        d->options.gates = 8;
        if (parse(argc, argv, &d->options)) status = run(d);
        else fprintf(stderr, "virtual_device: wrong arguments; see hal/posix/device_main.c\n");
    }
    record_close();
    free(core);
    free(d);
    return status;
}
