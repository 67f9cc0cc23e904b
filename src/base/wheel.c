// SPDX-License-Identifier: BSD-2-Clause
#include "base/wheel.h"

#include "base/clock.h"
#include "base/util.h"

#define SLOT_MASK (WHEEL_SLOTS - 1)
#define LAST_TICK ((UINT64_C(1) << (64 - WHEEL_TICK_SHIFT)) - 1)

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    *w = (struct wheel){.now_tick = now_ns >> WHEEL_TICK_SHIFT};
    for (int level = 0; level < WHEEL_LEVELS; level++)
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            w->heads[level][slot] = WHEEL_NONE;
}

void wheel_node_init(struct wheel_node *node)
{
    *node = (struct wheel_node){.next = WHEEL_NONE, .prev = WHEEL_NONE, .slot = WHEEL_IDLE};
}

// The first tick that is not before the deadline: rounding up is what keeps timers from firing
// early.
static uint64_t tick_of(uint64_t deadline_ns)
{
    uint64_t tick = deadline_ns >> WHEEL_TICK_SHIFT;

    if (deadline_ns & ((UINT64_C(1) << WHEEL_TICK_SHIFT) - 1))
        tick++;
    return MIN(tick, LAST_TICK);
}

// The level is that of the highest digit in which the tick differs from the present: so a level's
// slots all lie ahead of the present one, and before every slot of the level above.
static void insert(struct wheel *w, struct wheel_nodes n, uint32_t i)
{
    struct wheel_node *node = wheel_node_at(n, i);
    uint64_t tick = MAX(tick_of(node->deadline_ns), w->now_tick);
    int level = (63 - __builtin_clzll((tick ^ w->now_tick) | SLOT_MASK)) / WHEEL_SLOT_BITS;
    int slot = tick >> level * WHEEL_SLOT_BITS & SLOT_MASK;
    uint32_t *head = &w->heads[level][slot];

    node->slot = level * WHEEL_SLOTS + slot;
    node->prev = WHEEL_NONE;
    node->next = *head;
    if (*head != WHEEL_NONE)
        wheel_node_at(n, *head)->prev = i;
    *head = i;
    w->busy[level] |= UINT64_C(1) << slot;
}

static void take(struct wheel *w, struct wheel_nodes n, uint32_t i)
{
    struct wheel_node *node = wheel_node_at(n, i);
    uint32_t at = index_within(node->slot, WHEEL_LEVELS * WHEEL_SLOTS);
    int level = at / WHEEL_SLOTS, slot = at % WHEEL_SLOTS;

    if (node->next != WHEEL_NONE)
        wheel_node_at(n, node->next)->prev = node->prev;
    if (node->prev != WHEEL_NONE)
        wheel_node_at(n, node->prev)->next = node->next;
    else
        w->heads[level][slot] = node->next;
    if (w->heads[level][slot] == WHEEL_NONE)
        w->busy[level] &= ~(UINT64_C(1) << slot);
    node->slot = WHEEL_IDLE;
}

void wheel_cancel(struct wheel *w, struct wheel_nodes n, uint32_t i)
{
    if (!wheel_is_armed(wheel_node_at(n, i)))
        return;
    take(w, n, i);
    w->armed--;
}

void wheel_arm(struct wheel *w, struct wheel_nodes n, uint32_t i, uint64_t deadline_ns)
{
    wheel_cancel(w, n, i);
    if (deadline_ns == CLOCK_NEVER)
        return;
    wheel_node_at(n, i)->deadline_ns = deadline_ns;
    insert(w, n, i);
    w->armed++;
}

// The first tick of the earliest slot that holds nodes, with its level; false for an empty wheel.
static bool earliest(const struct wheel *w, int *level, uint64_t *tick)
{
    for (int l = 0; l < WHEEL_LEVELS; l++) {
        int shift = l * WHEEL_SLOT_BITS;
        uint64_t block;

        if (!w->busy[l])
            continue;
        block = w->now_tick >> shift >> WHEEL_SLOT_BITS;
        *level = l;
        *tick = (block << WHEEL_SLOT_BITS | __builtin_ctzll(w->busy[l])) << shift;
        return true;
    }
    return false;
}

static void empty(struct wheel *w, int level, int slot)
{
    w->heads[level][slot] = WHEEL_NONE;
    w->busy[level] &= ~(UINT64_C(1) << slot);
}

// Spreads a slot whose time has come over the levels below it. Each node is in one slot: who finds
// more than there are walks in a circle.
static void cascade(struct wheel *w, struct wheel_nodes n, int level, int slot)
{
    uint32_t left = n.count, i;

    while ((i = w->heads[level][slot]) != WHEEL_NONE && left--) {
        take(w, n, i);
        insert(w, n, i);
    }
    if (i != WHEEL_NONE || w->busy[level] & UINT64_C(1) << slot)
        empty(w, level, slot);
}

uint32_t wheel_expire(struct wheel *w, struct wheel_nodes n, uint64_t now_ns)
{
    uint64_t target = now_ns >> WHEEL_TICK_SHIFT, tick;
    int left = WHEEL_LEVELS * WHEEL_SLOTS, level; // no slot comes twice

    while (left-- && earliest(w, &level, &tick) && tick <= target) {
        int slot = tick >> level * WHEEL_SLOT_BITS & SLOT_MASK;
        uint32_t i = w->heads[level][slot];

        w->now_tick = MAX(w->now_tick, tick);
        if (level) {
            cascade(w, n, level, slot);
            continue;
        }
        if (i == WHEEL_NONE) {
            empty(w, level, slot);
            continue;
        }
        take(w, n, i);
        w->armed--;
        return i;
    }
    w->now_tick = MAX(w->now_tick, target);
    return WHEEL_NONE;
}

uint64_t wheel_next_ns(const struct wheel *w)
{
    uint64_t tick;
    int level;

    return earliest(w, &level, &tick) ? tick << WHEEL_TICK_SHIFT : CLOCK_NEVER;
}
