// SPDX-License-Identifier: BSD-2-Clause
// The stacks that shuntd hosts: one for each user and interface, made when first needed and ended
// when nobody has used it for a while. shuntd owns the queue, the mirror of the kernel's tables and
// the ports; a keeper (keep.h) drives, for shuntd never touches what the user's programs can write
// but to look at it, bounded. Where the keeper ends the stack does, and nothing else.
#ifndef SHUNT_DAEMON_STACK_H
#define SHUNT_DAEMON_STACK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "cm/counters.h"
#include "daemon/icmp.h"
#include "daemon/keep.h"
#include "daemon/loop.h"
#include "daemon/user.h"
#include "net/door.h"
#include "net/mirror.h"
#include "net/net.h"
#include "net/owner.h"
#include "net/ports.h"
#include "policy/policy.h"

struct stacks {
    struct list all;
    struct loop *loop;
    struct icmp icmp;
    const struct policy_tcp *options;
    uint64_t last_id;
    uint64_t boot; // upper half of the ids, so that those of an earlier shuntd are others
    uint64_t opened, accepted; // connections of stacks that have ended
};

struct stack {
    struct list link;
    struct stacks *stacks;
    struct user *user;
    uint64_t id;
    char name[IF_NAMESIZE];
    uint32_t ifindex;
    struct net_door door;
    struct net *net; // not a member: see net_attach
    struct net_mirror *mirror;
    struct net_ports *ports;
    int arena, bell; // memfd; eventfd that drivers write when the keeper has something to do
    pid_t keeper;
    struct watch keeper_watch, mirror_watch;
    struct timer tick;
    struct list asks;  // of struct ask, oldest first
    uint64_t ports_ns; // when net_ports_run() is due
    uint64_t idle_ns;  // without ports and questions since then; CLOCK_NEVER: it has some
    bool dead;
};

// A question to a keeper; memory of whoever asks.
struct ask {
    struct list link;
    // The answer, with fds that stay the stack's; NULL: the stack is over. The ask is in no list by
    // then.
    void (*done)(struct ask *ask, struct stack *stack, const struct keep_done *done, const int *fds,
                 int n_fds);
};

// options stay the caller's.
void stacks_init(struct stacks *stacks, struct loop *loop, const struct policy_tcp *options);
// Tells how many connections there were, in COUNT_TCP_OPENED_TOTAL and COUNT_TCP_ACCEPTED_TOTAL.
void stacks_count(const struct stacks *stacks, uint64_t count[COUNTERS]);
void stacks_fini(struct stacks *stacks);

// Ends those that nobody uses. To be called between the rounds of the loop.
void stacks_bury(struct stacks *stacks);

// The stack of user on the interface, made if there is none. 0, or -errno with a phrase in why.
int stack_get(struct stacks *stacks, struct user *user, const char *interface, struct stack **stack,
              char *why, size_t size);

// Has somebody stopped its keeper (SIGSTOP, a debugger)? Whoever asked it would wait.
bool stack_is_stopped(const struct stack *s);

// Sends m to the keeper; ask: who hears the answer, NULL where none is due. The fds stay the
// caller's. 0, or -errno: there will be no answer.
int stack_ask(struct stack *s, struct ask *ask, const struct keep_msg *m, const int *fds,
              int n_fds);

// Can this Shunt make a stack at all? False: text says what it was built without.
bool stack_is_built(char *text, size_t size);

// Which queue a stack on the interface gets by these options, and why, in text. False: it can have
// none, and text says so.
bool stack_queue_of(const char *interface, const struct policy_tcp *options, char *text,
                    size_t size);

#endif
