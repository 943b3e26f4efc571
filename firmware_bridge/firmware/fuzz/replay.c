/* Plays the files named, one child each, through receive.c: the corpus with any compiler, or a finding again. Exit 1 when one ends
 * otherwise than well; the last line says how many were played. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "receive.h"

enum { LONGEST = 1 << 16 };

static int play(const char *path) {
    static uint8_t bytes[LONGEST];
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 2;
    size_t length = fread(bytes, 1, sizeof bytes, file);
    int whole = feof(file);
    fclose(file);
    return whole ? LLVMFuzzerTestOneInput(bytes, length) : 2;
}

int main(int argc, char **argv) {
    int findings = 0;
    for (int i = 1; i < argc; i++) {
        pid_t child = fork();
        int status = 0;
        if (child == 0) _exit(play(argv[i]));
        if (child > 0 && waitpid(child, &status, 0) == child && status == 0) continue;
        fprintf(stderr, "finding: %s\n", argv[i]);
        findings++;
    }
    printf("{\"schema\":\"bridge.replay/1\",\"played\":%d,\"findings\":%d}\n", argc - 1, findings);
    return findings > 0;
}
