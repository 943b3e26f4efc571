/* A fuzzer that any compiler makes: generate 60s|10m|8h [SEED [FRAMES [GOLDEN]]] plays random scripts, most of them of well-formed
 * frames with hostile contents, and gives the bare receiver damaged and random frames that must not be taken: it counts them. Each
 * round runs in a child: what the sanitizers or the checks find there is counted, with the round that finds it again. White-box. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "golden.h"
#include "receive.h"

enum { SCRIPT_BYTES = 2048, AT_ONCE = 20000, SCRIPTS_AT_ONCE = 40, FINDINGS_MOST = 10 };

static uint64_t state;

static uint32_t chance(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* ---- damaged frames */

/* A golden frame with 1 to 6 flipped bits, a byte lost, one too many, or cut short. */
static uint64_t mutated_frames(sc_core *core, uint32_t n) {
    uint8_t bad[WIRE_MOST + 2];
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t which = chance() % goldens, length = golden[which].length, how = chance() % 16u, at = 1 + chance() % (length - 2);
        memcpy(bad, golden[which].bytes, length);
        if (how == 0) memmove(bad + at, bad + at + 1, --length - at);
        else if (how == 1) memmove(bad + at + 1, bad + at, length++ - at);
        else if (how == 2) bad[at] = 0, length = at + 1;
        else
            for (uint32_t flips = 1 + chance() % 6u; flips > 0; flips--) bad[1 + chance() % (length - 2)] ^= (uint8_t)(1u << chance() % 8u);
        if (length == golden[which].length && memcmp(bad, golden[which].bytes, length) == 0) continue;
        wrong += taken(core, bad, length, golden[which].frame, golden[which].decoded);
        i++;
    }
    return wrong;
}

/* Any bytes, zeros among them: none is a frame. */
static uint64_t random_frames(sc_core *core, uint32_t n) {
    uint8_t bytes[SC_FRAME + 8];
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = 1 + chance() % SC_FRAME;
        for (uint32_t k = 0; k < length; k += 2) {
            uint32_t word = chance();
            bytes[k] = (uint8_t)(word >> 8);
            bytes[k + 1] = (uint8_t)(word >> 16);
        }
        bytes[length] = 0;
        wrong += taken(core, bytes, length + 1, NULL, 0);
    }
    return wrong;
}

static void random_script(void) {
    static uint8_t bytes[SCRIPT_BYTES];
    for (uint32_t i = 0; i < SCRIPT_BYTES; i++) bytes[i] = (uint8_t)chance();
    (void)LLVMFuzzerTestOneInput(bytes, 1 + chance() % SCRIPT_BYTES);
}

/* ---- each round in a child, so that a sanitizer's finding ends only that one */

typedef struct {
    uint64_t scripts, frames, wrong;
} tally;

static void round_of(uint64_t seed, tally *all) {
    state = seed * 0x9E3779B97F4A7C15u;
    sc_core *core = receiver();
    for (int i = 0; i < SCRIPTS_AT_ONCE; i++, all->scripts++) random_script();
    all->wrong += mutated_frames(core, AT_ONCE) + random_frames(core, AT_ONCE);
    all->frames += AT_ONCE;
}

static double since_s(const struct timespec *begun) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun->tv_sec) + (double)(now.tv_nsec - begun->tv_nsec) * 1e-9;
}

int main(int argc, char **argv) {
    char *unit = "";
    double seconds = argc > 1 ? strtod(argv[1], &unit) : 10.0, took;
    seconds *= *unit == 'h' ? 3600.0 : *unit == 'm' ? 60.0 : 1.0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, round = 0;
    uint64_t wanted = argc > 3 ? strtoull(argv[3], NULL, 10) : 0; /* frames of each kind; then the time does not count */
    uint32_t findings = 0;
    tally *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct timespec begun;
    if (all == MAP_FAILED || !read_golden(argc > 4 ? argv[4] : "fuzz/frames.txt")) {
        fprintf(stderr, "generate: no golden frames\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        uint64_t of_round = seed * 1000003u + round++;
        pid_t child = fork();
        int status = 0;
        if (child == 0) {
            round_of(of_round, all);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "finding in round %llu of seed %llu\n", (unsigned long long)(round - 1), (unsigned long long)seed);
            findings++;
        }
        took = since_s(&begun);
    } while (findings < FINDINGS_MOST && (wanted > 0 ? all->frames < wanted : took < seconds));
    printf("{\"schema\":\"bridge.fuzz/1\",\"golden_frames\":%u,\"scripts\":%llu,\"mutated_frames\":%llu,\"random_frames\":%llu,"
           "\"false_accepts\":%llu,\"sanitizer_findings\":%u,\"frames_per_s\":%.0f}\n",
           goldens, (unsigned long long)all->scripts, (unsigned long long)all->frames, (unsigned long long)all->frames,
           (unsigned long long)all->wrong, findings, 2.0 * (double)all->frames / took);
    return all->wrong > 0 || findings > 0;
}
