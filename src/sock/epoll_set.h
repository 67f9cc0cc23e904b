// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets and the connections in them: what the files epoll_*.c share.
//
// A set's kernel epoll holds everything that the program put in. While a connection is not ready
// its registration there is the program's own. When it becomes ready its watch is raised: the twin
// is watched by edge for what the ring cannot tell, the bell is added, and both carry a tag in
// place of the program's data. A raised watch is either hot, then every walk looks at its ring; or
// parked, then the peer rings the bell, and the kernel tells. Idle ones get parked, so a walk costs
// what is active.
//
// Locks: epoll_lock guards the lists of watches of sets and connections and the tables; a set's
// lock guards its hot list and the state of its watches. Who changes a list of watches holds both.
// epoll_lock comes first, and no lock of an end is ever held when either is taken.
#ifndef SHUNT_SOCK_EPOLL_SET_H
#define SHUNT_SOCK_EPOLL_SET_H

#include "base/util.h"
#include "chan/pump.h"
#include "sock/epoll.h"
#include "sock/fdtab.h"
#include "sock/lock.h"
#include "sock/ready.h"

#include <stdalign.h>
#include <sys/epoll.h>

#define EPOLL_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

// A registration of the program: one fd number of one connection in one set.
struct epoll_watch {
    struct list node;      // hot when raised; waiting when not; alone when parked
    struct epoll_set *set; // NULL: free
    struct conn *conn;
    int fd;
    uint32_t events; // as the program said; only EPOLL_PRIVATE left: disabled (ONESHOT)
    uint64_t data;
    uint64_t told_tail; // ring bytes that had come when it was reported last
    uint32_t told;      // what held when it was looked at last
    uint32_t twin;      // what the kernel watches the twin for while raised
    uint16_t idle;      // waits in a row that found nothing
    bool raised;
    bool dormant;  // raised, and deleted by the program: it may be added again at no cost
    bool woken;    // dormant, and the kernel told of it: not worth keeping
    bool bell;     // raised, and the bell's registration carries this watch's tag
    bool fresh;    // added or modified: an edge is due if anything holds
    bool edge;     // the kernel saw something happen on the twin
    bool blocked;  // was not writable at some time since the last report
    uint32_t pass; // the set's pass that looked at it last
    uint32_t index;
    uint8_t shot;            // not raised, and ONESHOT: which of its tags the kernel has; 0: none
    struct epoll_said *said; // what the family sees of events and data; NULL: nothing
    uint32_t serial;         // of said
    struct list in_conn, in_set;
};

struct epoll_set {
    alignas(64) struct sock_lock lock;
    int epfd; // one of its numbers
    uint32_t fds, generation;
    bool tagged;               // some registration in the kernel carries a tag, or did
    bool exposed;              // somebody waits for the epoll fd itself: nothing may stay hot
    bool outer;                // holds an exposed one
    bool forked;               // a child has a copy, used or not
    bool inherited;            // this is the child's copy, not used yet
    bool common;               // used by several processes: its connections stay with the kernel
    bool doubled;              // a connection is in it under two numbers
    bool stale;                // a raised connection was found not ready: a process took it back
    bool sweep;                // a dormant watch was woken
    bool turn;                 // with room for one event only: the kernel's turn
    uint32_t pass;             // counts up with each collection of events
    _Atomic uint32_t raised;   // watches
    uint32_t spin_us;          // longest that a rule of its connections allows
    _Atomic uint32_t sleepers; // threads inside the kernel's wait
    int kick;                  // eventfd that wakes one of them; -1: not made yet
    uint64_t looked;           // ticks, when the kernel was asked last
    _Atomic uint64_t told;     // ticks, when it had nothing more to say
    _Atomic uint64_t *mark;    // in the table, see epoll_family.c; NULL: there is none
    struct epoll_table *table; // that the family shares (epoll_said.c)
    struct spin_memory spin;
    int pump[PUMPS]; // fds of the pumps that the kernel watches for this set, and 1 each
    struct list hot, waiting;
    struct list watches, in_sets;
};

extern struct sock_lock epoll_lock;
extern struct list epoll_sets;

static inline void epoll_take(struct sock_lock *l)
{
    sock_lock(l, __libc_single_threaded);
}

static inline void epoll_drop(struct sock_lock *l)
{
    sock_unlock(l, __libc_single_threaded);
}

static inline bool watch_disabled(const struct epoll_watch *w)
{
    return !(w->events & ~(uint32_t)EPOLL_PRIVATE);
}

// ---- sets and watches (epoll_set.c) ----

struct epoll_set *epoll_set_of(int epfd); // NULL: not an epoll fd

// The program has put c into the set before exec. No lock held.
void watch_adopt(struct epoll_set *s, struct conn *c, int fd, const struct epoll_event *ev);

// Deletes the dormant watches that were woken (epoll_ctl.c). No lock held.
void set_sweep(struct epoll_set *s);

// Under epoll_lock. NULL: no memory.
struct epoll_watch *watch_new(struct epoll_set *s, struct conn *c, int fd);
struct epoll_watch *watch_find(struct epoll_set *s, struct conn *c, int fd);
void watch_free(struct epoll_watch *w);

// What the kernel hands back as data. Tags of one shot are told apart from those before.
enum tag_kind { TAG_NONE, TAG_TWIN, TAG_BELL, TAG_KICK, TAG_SHOT };
#define TAG_SHOTS 6

uint64_t tag_of(const struct epoll_watch *w, enum tag_kind kind);
enum tag_kind tag_read(const struct epoll_set *s, uint64_t data, struct epoll_watch **w);

// ---- in the kernel (epoll_kernel.c); under both locks unless said otherwise ----

int epoll_kernel_ctl(int epfd, int op, int fd, uint32_t events, uint64_t data);

// Puts the registration of a watch that is not raised into the kernel, to add or to modify (op).
int watch_own(struct epoll_watch *w, int op);
// The same where there is a tag, unless another process has done it. bare: for good, without a tag.
int watch_restore(struct epoll_watch *w, bool bare);
// Puts tags in place of the program's registration. 0, or -errno and all is as before.
int watch_raise(struct epoll_watch *w);
// Not raised any more: watch_restore(), unless the set is one that another process uses.
void watch_lower(struct epoll_watch *w, bool bare);
void watch_drop_bell(struct epoll_watch *w);
// Watches the twin for what the ring cannot tell now. The set's lock is enough.
void watch_refresh(struct epoll_watch *w);
// Wakes one sleeper, or makes the epoll fd readable. The set's lock is enough.
void set_kick(struct epoll_set *s);
// Before a sleep: the devices of pumps wake it, too. The set's lock is enough.
void set_watch_pumps(struct epoll_set *s, const struct pump_sleep *pumped);
// Before exec. Under epoll_lock.
void set_forget_pumps(struct epoll_set *s);

// ---- looking (epoll_walk.c); under the set's lock ----

enum epoll_found { FOUND_AT_ONCE, FOUND_SPINNING, FOUND_SLEEPING };

struct epoll_out {
    struct epoll_event *ev;
    int n, max;
    enum epoll_found how; // for the connections' counters
};

void watch_heat(struct epoll_watch *w);
// Makes sure that a change that happened outside a wait is noticed by whoever waits.
void watch_settle(struct epoll_watch *w);

// Reports hot watches that this pass has not looked at yet, up to limit events in all. first: the
// first time in this wait, so idle ones are counted.
void set_walk(struct epoll_set *s, struct epoll_out *out, int limit, bool first);
bool set_park(struct epoll_set *s); // false: something is due
void set_hand_over(struct epoll_set *s);

// ---- sets that others wait for (epoll_nest.c) ----

// Brings what the kernel says of exposed sets up to date. Inside, no lock held.
void sets_reveal(void);

// ---- several processes (epoll_family.c) ----

// A connection in a common set begins to go back to the kernel. Inside, no lock held.
void set_bring_back(struct epoll_set *s, struct conn *c, int fd);

// To be called when the program uses s. Inside, no lock held.
void set_family_slow(struct epoll_set *s);
void set_join_family(struct epoll_set *s); // under epoll_lock, when s is made, and when it goes
void set_leave_family(struct epoll_set *s);

// ---- what the family sees (epoll_said.c); under epoll_lock or the set's lock ----

void said_open(struct epoll_set *s); // s->table and s->mark; none where there is no room
void said_close(struct epoll_set *s);
void said_forked(void); // in the child

void said_new(struct epoll_watch *w); // its set and fd are known
void said_free(struct epoll_watch *w);
void said_delete(struct epoll_watch *w);  // by whoever in the family; its maker frees it later
void said_publish(struct epoll_watch *w); // events and data
void said_tagged(struct epoll_watch *w);  // the kernel has a tag in their place from now on
// From now on the kernel has what the program said, of which this is the last. False: it has that
// already. Where others might say something meanwhile, the caller asks said_changed() afterwards.
bool said_settle(struct epoll_watch *w);
bool said_changed(struct epoll_watch *w); // and loads it
// An event of a ONESHOT registration is about to be told: disables it. False: another process has
// told it, or leaves that to the kernel.
bool said_fire(struct epoll_watch *w);

// For a child that begins to use a set.
bool said_gone(const struct epoll_watch *w); // the registration is not there any more
bool said_load(struct epoll_watch *w);       // events and data. True: the kernel has them
// Begins with *at 0; the fd number of the set's next line, which said_is() and said_adopt() know by
// *at then; -1: no more.
int said_next(const struct epoll_set *s, uint32_t *at);
bool said_is(const struct epoll_watch *w, uint32_t at);
void said_adopt(struct epoll_watch *w, uint32_t at);

// Why a sleep in the kernel may not last: other processes can take raised connections back, and of
// those that are going no bell tells everybody.
static inline uint64_t set_longest_ns(const struct epoll_set *s)
{
    return s->forked && s->raised ? (s->common ? 10 : 250) * NS_PER_MS : CLOCK_NEVER;
}

static inline void set_family(struct epoll_set *s)
{
    if (unlikely(s->forked) && (!s->common || s->raised))
        set_family_slow(s);
}

#endif
