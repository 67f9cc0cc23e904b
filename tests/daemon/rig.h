// SPDX-License-Identifier: BSD-2-Clause
// A real shuntd in a child process, TCP connections to claim, and a manager that notes its events.
#ifndef TESTS_DAEMON_RIG_H
#define TESTS_DAEMON_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cm/cm.h"
#include "cm/packet.h"

#define RIG_RING_BYTES 65536

struct rig {
    char dir[64], path[96]; // path of the socket
    pid_t daemon;
};

// Makes a temporary shunt.conf for `-c`; the caller unlinks it.
void rig_config(char path[static 64], const char *text);

// Starts shuntd with further arguments, NULL at the end, and waits until it listens.
void rig_start(struct rig *rig, ...);

// Stops it with sig and checks that it ended as it should: cleanly for SIGTERM.
void rig_stop(struct rig *rig, int sig);

// True while the daemon's process lives.
bool rig_alive(struct rig *rig);

// A TCP connection over 127.0.0.1: fd[0] connected, fd[1] accepted.
void tcp_pair(int fd[2]);
uint64_t cookie_of(int sock);
void addresses_of(int sock, union cm_addr *local, union cm_addr *remote); // remote may be none

// What a manager was told since rig_events_clear().
struct told {
    int n_matched, n_refused;
    struct cm_channel matched[8];
    uint64_t refused_cookie;
    char reason[96];
    char endpoint[8][CM_ENDPOINT_MAX_BYTES + 1]; // by place in matched, a 0 after it
    int n_noted, n_relayed, n_gone;
    char note[96];
    uint64_t relay_cookie, gone_cookie;
    size_t relay_bytes;
    uint8_t relay[CM_RELAY_MAX_BYTES];
    enum cm_gone gone;
};
extern struct told told;
extern const struct cm_events rig_events;
void told_clear(void); // closes the fds of channels

// Claims sock through the manager of this process, with a ring of RIG_RING_BYTES and no chunk.
void rig_claim(struct cm *cm, int sock, int chunk_fd);

// The same for lane rdma alone, with an endpoint.
void rig_claim_rdma(struct cm *cm, int sock, const char *endpoint);

// Fills in cookie and addresses of sock, and claims it.
void rig_wish(struct cm *cm, int sock, struct cm_wish *wish);

// Polls the manager until *n, a member of told, is want; fails after 15 s.
void rig_wait_told(struct cm *cm, const int *n, int want);

// Polls the manager until n channels, or refusals, were told; fails after 15 s.
void rig_wait_matched(struct cm *cm, int n);
void rig_wait_refused(struct cm *cm, int n);

// ---- a client by hand ----

int raw_connect(const struct rig *rig);  // no Hello yet
int raw_client(const struct rig *rig);   // Hello said, Welcome had
const Ctl__Envelope *raw_recv(int sock); // waits up to 15 s; NULL: hung up
void raw_send(int sock, const Ctl__Envelope *msg, const int *fds, int n_fds);

// How a claim by hand differs from an honest one; zeros do not.
struct raw_wish {
    uint64_t cookie;
    uint32_t ring_bytes;
    bool cross_user, no_socket;
    int addresses_of; // another socket
    uint32_t lane;    // 0: shm
};
void raw_claim(int sock, int tcp, const struct raw_wish *wish);
void raw_expect_refused(int sock, const char *reason_part); // the next message
extern struct packet raw_packet;                            // what raw_recv received into

// The daemon's counter of that name.
uint64_t rig_count(const struct rig *rig, const char *name);
void rig_wait_count(const struct rig *rig, const char *name, uint64_t value); // up to 15 s

#endif
