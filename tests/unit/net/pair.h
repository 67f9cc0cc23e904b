// SPDX-License-Identifier: BSD-2-Clause
// Two stacks on the two ends of a loop queue, in real time: what tests do with both.
#ifndef SHUNT_TESTS_NET_PAIR_H
#define SHUNT_TESTS_NET_PAIR_H

#include "base/clock.h"
#include "net/arena.h"
#include "net/owner.h"
#include "queue/fault.h"
#include "queue/loop.h"

#include "../../net/program.h"

#define PAIR_RING (1u << 18)

struct pair {
    struct net *net[2]; // 0 opens, 1 listens
    int arena[2], bell[2];
    struct queue_grant grant[2]; // kept for those who attach later
    struct net_image *image[2];
};

// Faults of both sides' queues in the next pair_start(); NULL: none.
extern const struct fault_options *pair_faults;

// The addresses of a side: 10.27.0.1, 10.27.0.2; fd27::1, fd27::2.
struct ip_addr pair_addr(int side, bool v6);

// socks: of each stack. queue NULL: a plain loop.
void pair_start(struct pair *p, uint32_t socks, const struct loop_options *queue);
void pair_stop(struct pair *p);

// Another process's or handle's attachment to a side.
struct net *pair_attach(struct pair *p, int side);

// Writes the image of a side into its arena.
void pair_publish(struct pair *p, int side, bool paths);

// Drives both sides until done() or for_ms are over; returns what done() said.
typedef bool pair_done(struct pair *p, void *arg);
bool pair_run(struct pair *p, uint64_t for_ms, pair_done *done, void *arg);

// Connects: side 1 listens on the port unless *listener is a socket. sock[side] is each side's end.
void pair_connect(struct pair *p, bool v6, uint16_t port, uint32_t *listener, uint32_t sock[2]);

// The byte at position pos of every stream in these tests.
static inline uint8_t pair_byte(uint64_t pos)
{
    return (uint8_t)(pos ^ pos >> 8 ^ pos >> 16) * 37;
}

// Sends total bytes from `from` to the other side and checks each. Fails the test after 60 s.
void pair_transfer(struct pair *p, const uint32_t sock[2], int from, uint64_t total);

#endif
