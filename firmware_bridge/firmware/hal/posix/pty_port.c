/* See pty_port.h. Linux: the master's termios are the slave's, so the line is raw before the host has opened it. */
#define _GNU_SOURCE
#include "pty_port.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static void make_raw(int fd) {
    struct termios raw;
    if (tcgetattr(fd, &raw) != 0) return;
    cfmakeraw(&raw);
    (void)tcsetattr(fd, TCSANOW, &raw);
}

/* Made beside it and renamed over it, so that the name never dangles in between. */
static bool publish(const pty_port *port) {
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.new", port->link) >= (int)sizeof beside) return false;
    (void)unlink(beside);
    return symlink(port->name, beside) == 0 && rename(beside, port->link) == 0;
}

bool pty_plug(pty_port *port) {
    port->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (port->fd < 0) return false;
    port->hung_up = false;
    bool ready = grantpt(port->fd) == 0 && unlockpt(port->fd) == 0 && ptsname_r(port->fd, port->name, sizeof port->name) == 0;
    make_raw(port->fd);
    if (ready && (port->link == NULL || publish(port))) return true;
    pty_unplug(port);
    return false;
}

void pty_unplug(pty_port *port) {
    if (port->link != NULL) (void)unlink(port->link);
    if (port->fd >= 0) close(port->fd);
    port->fd = -1;
}

uint32_t pty_read(pty_port *port, uint8_t *data, uint32_t max) {
    if (port->fd < 0) return 0;
    ssize_t n = read(port->fd, data, max);
    if (n > 0) {
        port->hung_up = false;
        return (uint32_t)n;
    }
    struct pollfd look = {port->fd, POLLIN, 0};
    bool was = port->hung_up;
    port->hung_up = poll(&look, 1, 0) > 0 && (look.revents & POLLHUP);
    if (was && !port->hung_up) make_raw(port->fd);
    return 0;
}

uint32_t pty_write(pty_port *port, const uint8_t *data, uint32_t length) {
    if (port->fd < 0 || port->hung_up) return 0;
    ssize_t n = write(port->fd, data, length);
    return n > 0 ? (uint32_t)n : 0;
}
