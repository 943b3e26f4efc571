/* What one build can hold. A HAL with little memory gives its own numbers with -D; they are announced in HELLO_R. */
#ifndef STATION_CORE_SIZES_H
#define STATION_CORE_SIZES_H

#ifndef SC_GATES
#define SC_GATES 32
#endif
#ifndef SC_QUEUE
#define SC_QUEUE 256 /* accepted commands that have not ended */
#endif
#ifndef SC_IDS
#define SC_IDS 1024 /* remembered answers */
#endif
#ifndef SC_RING
#define SC_RING 512 /* events until acknowledged */
#endif
#ifndef SC_EVENTS_PER_FRAME
#define SC_EVENTS_PER_FRAME 3 /* at most */
#endif
#ifndef SC_EDGES
#define SC_EDGES 1024 /* output edges until the HAL takes them: a record for twins and tests */
#endif
#ifndef SC_TX
#define SC_TX 16384 /* bytes waiting for the link */
#endif
#ifndef SC_TX_RESERVE
#define SC_TX_RESERVE 1024 /* of these, kept free for answers: events and encoder samples can wait */
#endif
#ifndef SC_DUTY_BUCKETS
#define SC_DUTY_BUCKETS 10 /* the ten seconds of duty history are kept in this many parts */
#endif
#ifndef SC_FRAME
#define SC_FRAME 96 /* longest frame before COBS; a small board needs 64, the host's longest has 35 */
#endif
#ifndef SC_TRIGGER
#define SC_TRIGGER 1 /* 0: no camera trigger output; the message is of an unknown type then */
#endif
#ifndef SC_RATE_SAMPLES
#define SC_RATE_SAMPLES 24
#endif
#ifndef SC_RATE_SPACING_US
#define SC_RATE_SPACING_US 1000u /* samples x spacing must reach over two half windows */
#endif
#ifndef SC_STAMP_JITTER_US
#define SC_STAMP_JITTER_US 0 /* how late an encoder stamp of this HAL may be; 0: it is exact */
#endif
#ifndef SC_HALF_WINDOW_US
#define SC_HALF_WINDOW_US 8000
#endif
#ifndef SC_FIRMWARE_HASH
#define SC_FIRMWARE_HASH 0u
#endif

#if SC_FRAME < 15 + 26 * SC_EVENTS_PER_FRAME || SC_FRAME < 56
#error "an event batch and HELLO_R must fit a frame"
#endif
#if 10 % SC_DUTY_BUCKETS != 0
#error "duty buckets must divide ten seconds"
#endif
#if SC_IDS < SC_QUEUE
#error "id memory must hold at least the queue"
#endif
#if SC_RING < SC_QUEUE + 4
#error "the event ring must hold a report for every queued command"
#endif

#endif
