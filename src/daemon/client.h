// SPDX-License-Identifier: BSD-2-Clause
// One connected program, and what it says.
#ifndef SHUNT_DAEMON_CLIENT_H
#define SHUNT_DAEMON_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "daemon/host.h"
#include "daemon/loop.h"
#include "daemon/registry.h"

struct clients {
    struct list all;
    struct list stays; // processes for which a private shuntd stays (stay.h)
    struct list dying; // closed when the loop has done its round
    struct loop *loop;
    struct registry *registry;
    uint64_t *count; // by enum counter
    struct host *host;
    struct stacks *stacks; // of the tcp carrier
};

struct client {
    struct list link; // in clients.all or clients.dying
    struct watch watch;
    struct clients *clients;
    struct user *user;
    pid_t pid;          // as shuntd sees it
    uint32_t spin_slot; // in the host page; 0: none
    pid_t own_pid;      // as the client sees it; 0 before its Hello
    bool dying;         // nothing more is read or sent
    struct list out;    // of struct out_packet, oldest first
    uint32_t n_out;
    size_t out_bytes;
    struct list holds;     // of struct hold
    struct list questions; // of the tcp carrier that are not answered: struct question
    struct list chunks;    // of struct shown
    uint32_t n_chunks;
    bool stat;           // wants records
    uint64_t stat_chunk; // the next record is in the first chunk from this id on,
    uint32_t stat_slot;  // in this slot
};

extern const struct registry_events client_events;

void clients_init(struct clients *cs, struct loop *loop, struct registry *registry, uint64_t *count,
                  struct host *host);

// Hangs up on all.
void clients_fini(struct clients *cs);

// Takes a connected socket, in failure too. 0 or -errno.
int client_new(struct clients *cs, int sock);

// Tells why, and closes sock, which is no client.
void client_refuse_socket(int sock, const char *reason);

// Frees those that have died. To be called between the rounds of the loop.
void clients_bury(struct clients *cs);

#endif
