/* What the device did, as JSON lines that any script can read. One write per line: nothing is lost when it is killed. */
#ifndef STATION_RECORD_H
#define STATION_RECORD_H

#include <stdint.h>

/* -1 when path is NULL or cannot be opened. */
int record_open(const char *path);
void record_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
