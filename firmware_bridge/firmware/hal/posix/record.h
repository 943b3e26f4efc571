/* What the device did, as JSON lines that any script can read. Written by a thread of its own
 * within milliseconds; whole lines. */
#ifndef STATION_RECORD_H
#define STATION_RECORD_H

#include <stdint.h>

/* -1 when path is NULL or cannot be opened. */
int record_open(const char *path);
void record_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* When this returns, everything said is written. */
void record_close(void);

#endif
