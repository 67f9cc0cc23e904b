// SPDX-License-Identifier: BSD-2-Clause
// A keeper: the process that drives a stack where no program does, rings the bells that a driver in
// another process cannot, and holds our ends of the lifelines. See keep.h for what it is to shuntd.
#ifndef SHUNT_DAEMON_KEEPER_H
#define SHUNT_DAEMON_KEEPER_H

#include "base/list.h"
#include "daemon/keep.h"
#include "daemon/loop.h"
#include "net/net.h"

struct wire;

struct keeper {
    struct keep_setup setup;
    struct loop loop;
    struct net *net;
    int bell; // drivers write it when somebody is to be woken
    struct watch said_watch, bell_watch, queue_watch;
    bool queue_watched;
    struct timer tick;
    uint64_t own_turns, turns; // of ours; of all, when we looked last
    uint64_t turns_ns;         // when that was
    uint32_t wants;            // net_wants() that shuntd has been told of
    struct list wires;         // of struct wire
    struct list grave;         // the same, to be freed when the loop has done its round
    struct wire **by_sock;     // socks entries
    uint32_t socks;
    struct accepting *accepting; // whose queue is being emptied (lifeline.c)
    bool late;                   // a listener could not be asked: the stack was not to be had
};

// The whole life of a keeper; sock: its end of the pair. Returns its exit status.
int keeper_main(int sock);

// Carries on what can be carried, and sees when it is to be called next. Cheap where there is
// nothing to do. To be called after every call of net that leaves something to do.
void keeper_turn(struct keeper *k);

// Tells shuntd something.
void keeper_tell(struct keeper *k, const struct keep_msg *m, const int *fds, int n_fds);

#endif
