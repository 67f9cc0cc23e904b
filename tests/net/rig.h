// SPDX-License-Identifier: BSD-2-Clause
// Two network namespaces of the test's own, `here` and `there`, joined by a veth pair, and what one
// of them needs to be a Shunt host: queue, arena, mirror, ports. One thread has it all: it drives
// the stacks and uses kernel sockets without blocking. The namespaces go when the process does.
#ifndef SHUNT_TESTS_NET_RIG_H
#define SHUNT_TESTS_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "net/mirror.h"
#include "net/owner.h"
#include "net/ports.h"
#include "program.h"

enum side { HERE, THERE, SIDES };

#define PORT 27500

extern const char *const device_of[SIDES]; // "na", "nb"

// What a host's stack is made with; set before host_open().
extern struct net_config rig_config;

struct host {
    enum side side;
    int arena, bell;
    uint32_t ifindex;
    struct queue_owner *owner;
    struct net *net;
    struct net_mirror *mirror;
    struct net_ports *ports;
    uint64_t mirror_ns; // when the mirror is looked at next
};

// Why the tests cannot run here, or NULL.
const char *rig_obstacle(void);

// Makes the namespaces and the link. 10.78.0.1 and .2, fd78::1 and ::2.
void rig_new(void);
void rig_free(void);

// Makes the calling thread's new sockets be of that side's namespace.
void rig_enter(enum side side);

// Runs ip(8) in a side's namespace; the test fails if it does.
void rig_ip(enum side side, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct ip_addr rig_addr(enum side side, bool v6);

// A stack on a side's end of the link, or on another device there.
void host_open(struct host *h, enum side side, const char *device);
void host_close(struct host *h);

// Drives the stack, runs the mirror when it has news.
void host_drive(struct host *h);

// Drives the hosts (b may be NULL) until done() or for_ms are over; returns what done() said.
typedef bool rig_done(void *arg);
bool rig_until(struct host *a, struct host *b, uint64_t for_ms, rig_done *done, void *arg);

// Opens a connection from h with a reserved port; waits until it is through. The test fails if not.
uint32_t host_connect(struct host *h, struct host *other, const struct ip_addr *to, uint16_t port);
uint32_t host_listen(struct host *h, const struct ip_addr *at, uint16_t port);
uint32_t host_accept(struct host *h, struct host *other, uint32_t listener);
void host_expect(struct host *h, struct host *other, uint32_t sock, uint32_t status);

// Kernel sockets of a side, nonblocking. listen: on any address.
int kernel_listen(enum side side, bool v6, uint16_t port);
int kernel_connect(enum side side, const struct ip_addr *to, uint16_t port);
int kernel_accept(struct host *h, int listener); // waits

// The byte at position pos of every stream in these tests.
static inline uint8_t rig_byte(uint64_t pos)
{
    return (uint8_t)((pos ^ pos >> 8 ^ pos >> 16) * 37);
}

// One end of a stream: a socket of a stack, or of the kernel (host NULL).
struct end {
    struct host *host;
    uint32_t sock;
    int fd;
};

// Sends total bytes and checks each; the test fails after 60 s. meanwhile(arg, bytes) is called now
// and then, if there is one.
void rig_stream(struct end from, struct end to, uint64_t total, void (*meanwhile)(void *, uint64_t),
                void *arg);

#endif
