// SPDX-License-Identifier: BSD-2-Clause
// Two network namespaces of the test's own, `here` and `there`, joined by a veth pair; a queue of
// the door under test at one end or both; and frames to send. The namespaces go when the process
// does, however it ends. A socket stays in the namespace that it was made in, so one thread has
// all.
#ifndef TESTS_QUEUE_RIG_H
#define TESTS_QUEUE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

#include "queue/owner.h"

enum side { HERE, THERE, SIDES };

#define FRAME_HEAD  54 // Ethernet, IPv4, TCP without options
#define FRAME_HEAD6 74
#define PORT_HERE   24001
#define PORT_THERE  24002

extern const char *const device_of[SIDES];  // "qa", "qb"
extern const char *const address_of[SIDES]; // 10.77.0.1, 10.77.0.2
extern const char *const address6_of[SIDES];

struct rig {
    enum queue_door door;
    struct queue_owner *owner[SIDES]; // NULL: not open, or loop
    struct queue *queue[SIDES];       // NULL: the kernel alone is there
    uint8_t mac[SIDES][6];
};

// What the tests of a program run on; set by its main().
extern struct queue_options rig_options;
extern bool rig_wrapped; // every queue within both wrappers, which do nothing to it

// Why the suite cannot run here, or NULL.
const char *rig_obstacle(void);

// Makes the namespaces and the link; opens nothing. Loop needs neither.
struct rig *rig_new(void);
// Makes the link, with so many hardware queues at each end; rig_new() has done it with one.
void rig_links(struct rig *rig, unsigned hw_queues);
void rig_free(struct rig *rig);

// Opens and attaches the queue of one side.
void rig_open(struct rig *rig, enum side side);
void rig_close(struct rig *rig, enum side side);

// The pair that most tests begin with: queues at both ends and one flow between them.
struct rig *rig_pair(void);

// Opens both queues with one flow between them; rig_pair() does that on new links.
void rig_open_pair(struct rig *rig);

// Passes a grant over a UNIX socket, and takes one.
void grant_pass(int socket, const struct queue_grant *grant);
bool grant_take(int socket, struct queue_grant *grant);

// Makes the calling thread's new sockets be of that side's namespace.
void rig_enter(enum side side);

// Runs commands of ip, one a line, in a side's namespace; the test fails if they do.
void rig_run(enum side side, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct sockaddr_in rig_address(enum side side, uint16_t port);

// The flow that comes to `side`, or its listening port where remote_port is 0.
struct queue_flow rig_flow(enum side side, uint16_t local_port, uint16_t remote_port);
struct queue_flow rig_flow6(enum side side, uint16_t local_port, uint16_t remote_port);

// ---- frames ----

// A TCP segment from `from`, with `bytes` of payload that depend on seed. csum: how its TCP
// checksum is left.
enum csum { CSUM_DONE, CSUM_OPEN, CSUM_WRONG };
struct segment {
    enum side from;
    uint16_t source, dest;
    uint32_t seq, ack;
    uint8_t tcp_flags; // TH_SYN ...
    bool v6;
    uint32_t bytes, seed;
    uint16_t gso_size; // 0: none
    enum csum csum;
};

struct built {
    uint8_t head[QUEUE_HEAD_MAX];
    uint8_t payload[65536];
    uint32_t bytes; // of the whole frame
    struct iovec iov[2];
    struct queue_out out;
};

void frame_build(struct built *b, const struct rig *rig, const struct segment *s);

// Builds it and gives it to the queue of s->from: tx()'s result; kicked unless there are more.
int frame_send(struct rig *rig, const struct segment *s);

// The next frame of a side within 2 s; false: none. Good until rig_release().
bool frame_next(struct rig *rig, enum side side, struct queue_frame *frame);
void frame_done(struct rig *rig, enum side side);

// True where none comes for 25 ms.
bool frame_none(struct rig *rig, enum side side);

// The test fails unless frame holds the segment byte for byte and its checksum holds, by its flags.
void frame_expect(struct rig *rig, enum side side, const struct queue_frame *frame,
                  const struct segment *s);

// Takes a received frame apart. The headers' fields are in host order.
struct seen {
    struct segment segment;
    bool csum_good; // or unfinished, as the flags allow
    uint8_t bytes[65600];
};
void frame_read(struct rig *rig, enum side side, const struct queue_frame *frame,
                struct seen *seen);

uint8_t payload_byte(uint32_t seed, uint32_t i);

#endif
