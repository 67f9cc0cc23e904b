// SPDX-License-Identifier: BSD-2-Clause
#include "cm/uplink.h"

#include "base/clock.h"
#include "base/sys.h"
#include "cm/cm.h"
#include "cm/packet.h"
#include "cm/place.h"

#define RETRY_NS NS_PER_S

bool uplink_is_ours(const struct uplink *up)
{
    return up->sock >= 0 && sys_cookie(up->sock) == up->cookie;
}

int uplink_open(struct uplink *up)
{
    int sock;

    up->sock = -1;
    if (up->mute || clock_now_ns() < up->retry_ns)
        return -ENOTCONN;
    sock = place_connect_any(up->daemon_socket);
    if (sock < 0) {
        up->retry_ns = clock_now_ns() + RETRY_NS;
        return sock;
    }
    up->sock = cm_fd_up(sock);
    up->cookie = sys_cookie(up->sock);
    return 0;
}

int uplink_hello(int sock)
{
    Ctl__Hello hello = CTL__HELLO__INIT;
    Ctl__Envelope msg;

    hello.version = PACKET_VERSION;
    hello.pid = sys_getpid();
    PACKET_INIT(&msg, HELLO, hello, &hello);
    return packet_send(sock, &msg, NULL, 0);
}

void uplink_forget(struct uplink *up)
{
    if (uplink_is_ours(up))
        sys_close(up->sock);
    up->sock = -1;
    up->retry_ns = 0;
}

void uplink_close(struct uplink *up)
{
    uplink_forget(up);
    up->retry_ns = clock_now_ns() + RETRY_NS;
}

int uplink_mute(struct uplink *up)
{
    int sock = uplink_is_ours(up) ? up->sock : -1;

    up->sock = -1;
    up->mute = true;
    return sock;
}

bool uplink_owns_fd(const struct uplink *up, int fd)
{
    return fd >= 0 && fd == up->sock;
}

void uplink_moved(struct uplink *up, int oldfd, int newfd)
{
    if (up->sock == oldfd)
        up->sock = newfd;
}
