/* What receive.c offers those who give it inputs. */
#ifndef STATION_FUZZ_RECEIVE_H
#define STATION_FUZZ_RECEIVE_H

#include <stddef.h>
#include <stdint.h>

/* Plays one input; aborts when something does not hold. The name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
void must(int holds, const char *what);

#endif
