// SPDX-License-Identifier: BSD-2-Clause
// Who carries the bytes of a channel whose peer is no process of this host: a TCP engine, a mirror
// on another host. A pump has no thread: it is driven by the program's own calls.
#ifndef SHUNT_CHAN_PUMP_H
#define SHUNT_CHAN_PUMP_H

#include "chan/chan.h"

struct pump {
    // Bytes of c were published (sent), or taken from it. Carries what can be carried now, without
    // blocking. No lock of the channel is held.
    void (*push)(struct chan *c, bool sent);

    // In place of the peer's bell, where nobody else hears it: this side has published something or
    // changed a line of its own. Locks of the channel may be held. NULL: the bell is rung.
    void (*ring)(struct chan *c);

    // Looks what has come for any channel of the pump, and puts it into the rings. Does not block.
    // Called wherever a ring was found empty or full, and while spinning: cheap when nothing is
    // due.
    void (*look)(struct pump *p);

    // Somebody is about to sleep: news must be told by bells from now on, also where the device
    // alone knows it. Fills in *fd, to be polled for POLLIN with the bells, and *deadline_ns, when
    // look() must be called at the latest; -1 where the pump has nothing to be told, and then
    // woken() is not called after the sleep. True: look again instead of sleeping.
    bool (*arm)(struct pump *p, int *fd, uint64_t *deadline_ns);
    void (*woken)(struct pump *p);
};

#define PUMPS 8

// The pumps of this process. They are only ever added (0, or -ENOSPC); a pump without channels
// looks at nothing.
struct pumps {
    _Atomic uint32_t n;
    _Atomic(struct pump *) at[PUMPS];
};
extern struct pumps pumps;

int pumps_add(struct pump *p);

void pumps_look_all(void);

// What a sleep of this process must mind beside its bells.
struct pump_sleep {
    int fd[PUMPS];
    uint32_t n_fds;
    uint32_t armed;       // pumps, a bit each
    uint64_t deadline_ns; // CLOCK_NEVER: none
    uint64_t arm_ticks;   // that arming took
};

// Arms all pumps for one sleep. True: somebody has news, look again. Followed by pumps_woken().
bool pumps_arm_all(struct pump_sleep *s);
void pumps_woken_all(const struct pump_sleep *s);

// What arming and being woken took lately, together: a wait shorter than a sleep costs is better
// spun. 0: nobody has slept so.
uint64_t pumps_sleep_ticks(void);

static inline bool pumps_any(void)
{
    return __builtin_expect(atomic_load_explicit(&pumps.n, memory_order_acquire) != 0, 0);
}

static inline void pumps_look(void)
{
    if (pumps_any())
        pumps_look_all();
}

static inline void pumps_none(struct pump_sleep *s)
{
    s->n_fds = s->armed = 0;
    s->arm_ticks = 0;
    s->deadline_ns = UINT64_MAX;
}

static inline bool pumps_arm(struct pump_sleep *s)
{
    pumps_none(s);
    return pumps_any() && pumps_arm_all(s);
}

static inline void pumps_woken(const struct pump_sleep *s)
{
    if (__builtin_expect(s->armed != 0, 0))
        pumps_woken_all(s);
}

static inline void pump_push(struct chan *c, bool sent)
{
    if (__builtin_expect(c->pump != NULL, 0))
        c->pump->push(c, sent);
}

static inline void pump_look(struct chan *c)
{
    if (__builtin_expect(c->pump != NULL, 0))
        c->pump->look(c->pump);
}

#endif
