/* The device's end of a serial cable: a pseudo-terminal whose other end is the port the host opens. */
#ifndef STATION_PTY_PORT_H
#define STATION_PTY_PORT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int fd; /* -1: unplugged */
    const char *link; /* a symbolic link that names the port while it is there, or NULL */
    char name[64];
    bool hung_up; /* nobody has the port open */
} pty_port;

bool pty_plug(pty_port *port);
void pty_unplug(pty_port *port);
/* Never block; 0 for nothing to read, nobody there, or no room. */
uint32_t pty_read(pty_port *port, uint8_t *data, uint32_t max);
uint32_t pty_write(pty_port *port, const uint8_t *data, uint32_t length);

#endif
