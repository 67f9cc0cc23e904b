// SPDX-License-Identifier: BSD-2-Clause
// The stacks that shuntd hosts: one for each user and interface, made when first needed and ended
// when nobody has used it for a while. shuntd owns the queue, the arena, the mirror of the kernel's
// tables and the ports; it drives a stack where no program does, and rings the bells that a driver
// in another process cannot.
#ifndef SHUNT_DAEMON_STACK_H
#define SHUNT_DAEMON_STACK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/loop.h"
#include "daemon/user.h"
#include "net/mirror.h"
#include "net/net.h"
#include "net/owner.h"
#include "net/ports.h"

struct stack;

// What lives on a stack's socket, as stack.c sees it: the beginning of a struct wire.
struct stack_user {
    struct list link; // in stack.users, or in stacks.grave
    uint32_t sock;
    // The socket has news that its program's own driver could not tell it. Called in the loop.
    void (*woken)(struct stack_user *user);
    // The stack is dead: let go of everything, the struct included.
    void (*dead)(struct stack_user *user);
};

struct stacks {
    struct list all;
    struct list grave; // of struct stack_user, to be freed when the loop has done its round
    struct loop *loop;
    uint64_t last_id;
    uint64_t boot; // upper half of the ids, so that those of an earlier shuntd are others
};

struct stack {
    struct list link;
    struct stacks *stacks;
    struct user *user;
    uint64_t id;
    char name[IF_NAMESIZE];
    uint32_t ifindex;
    struct queue_owner *queue;
    struct net *net;
    struct net_mirror *mirror;
    struct net_ports *ports;
    int arena, bell; // memfd; eventfd that drivers write when shuntd has something to do
    struct watch bell_watch, queue_watch, mirror_watch;
    bool queue_watched;
    struct timer tick;
    uint64_t ports_run_ns;
    uint64_t own_turns, turns;   // of shuntd; of all, when it looked last
    uint64_t turns_ns;           // when that was
    uint64_t idle_ns;            // without users since then; CLOCK_NEVER: it has some
    struct list users;           // of struct stack_user
    struct stack_user **by_sock; // socks entries
    uint32_t socks;
};

void stacks_init(struct stacks *stacks, struct loop *loop);
void stacks_fini(struct stacks *stacks);

// Gives back what has ended. To be called between the rounds of the loop.
void stacks_bury(struct stacks *stacks);

// The stack of user on the interface, made if there is none. 0, or -errno with a phrase in why.
int stack_get(struct stacks *stacks, struct user *user, const char *interface, struct stack **stack,
              char *why, size_t size);

// The user of a socket that the stack has just given; takes it out again.
void stack_add(struct stack *stack, struct stack_user *user, uint32_t sock);
void stack_remove(struct stack *stack, struct stack_user *user);

// Frees user, which malloc made, when no event of this round can name it any more.
void stack_bury(struct stack *stack, struct stack_user *user);

// Carries on what can be carried, and sees when it is to be called next. Cheap where there is
// nothing to do. To be called after every call of net that leaves something to do.
void stack_turn(struct stack *stack);

#endif
