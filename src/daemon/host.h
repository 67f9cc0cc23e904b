// SPDX-License-Identifier: BSD-2-Clause
// The host page: how many threads of all programs spin now, and how many of each.
//
// All clients map it and may write nonsense there, which makes programs spin too much or not at
// all. Those of a client that dies while it spins are taken back here.
#ifndef SHUNT_DAEMON_HOST_H
#define SHUNT_DAEMON_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "cm/packet.h"

#define HOST_SLOTS (PACKET_PAGE_BYTES / PACKET_SPIN_BYTES)

struct host {
    int memfd;
    uint8_t *page;
    bool taken[HOST_SLOTS];
};

// 0 or -errno.
int host_open(struct host *host);
void host_close(struct host *host); // legal after a failed open

// A slot for one client's count; 0: none is left.
uint32_t host_take(struct host *host);

// The client of that slot is gone. 0 is legal.
void host_give_back(struct host *host, uint32_t slot);

#endif
