// SPDX-License-Identifier: BSD-2-Clause
// What programs say of their registrations, in memory that forked processes share.
//
// A forked child that uses its parent's set must know what the parent said after the fork, and put
// it into the kernel for both. So each process that makes sets has a table, which its children find
// at the same address, and in it a line for each registration. Only its maker gives lines out and
// takes them back; a serial number tells others that a line is not what it was.
#include "sock/epoll_set.h"

#include <sys/mman.h>

#define MARKS 4096
#define LINES 32768

#define SERIAL_SHIFT 33
#define IN_KERNEL    (UINT64_C(1) << 32)
#define EVENTS       UINT32_MAX

// Its word: a serial number, IN_KERNEL (what the program said is what the kernel has; else the
// kernel has a tag), and the program's events.
struct epoll_said {
    _Atomic uint64_t word, data;
    _Atomic uint32_t place; // its set's mark, counted from 1; 0: free
    int32_t fd;
};

struct epoll_table {
    _Atomic uint64_t marks[MARKS];
    _Atomic uint32_t used; // lines that were ever given out
    struct epoll_said lines[LINES];
};

static struct epoll_table *mine; // what this process gives out; NULL: nothing yet
static uint64_t marks_taken[MARKS / 64];
static uint16_t next_free[LINES]; // counted from 1
static uint32_t first_free;

// ---- sets ----

static bool have_table(void)
{
    void *at;

    if (mine)
        return true;
    at = mmap(NULL, sizeof *mine, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    mine = at;
    return true;
}

void said_open(struct epoll_set *s)
{
    for (int i = 0; have_table() && i < MARKS / 64; i++) {
        if (~marks_taken[i]) {
            int bit = __builtin_ctzll(~marks_taken[i]);

            marks_taken[i] |= UINT64_C(1) << bit;
            s->table = mine;
            s->mark = &mine->marks[i * 64 + bit];
            return;
        }
    }
}

void said_close(struct epoll_set *s)
{
    ptrdiff_t i = s->mark ? s->mark - s->table->marks : 0;

    if (s->mark && s->table == mine)
        marks_taken[i / 64] &= ~(UINT64_C(1) << i % 64);
}

// The parent gives out what is left of its table; ours begins anew.
void said_forked(void)
{
    mine = NULL;
    for (int i = 0; i < MARKS / 64; i++)
        marks_taken[i] = 0;
    first_free = 0;
}

static uint32_t place_of(const struct epoll_set *s)
{
    return (uint32_t)(s->mark - s->table->marks) + 1;
}

// ---- lines ----

static struct epoll_said *take_line(void)
{
    uint32_t i = first_free;

    if (i) {
        first_free = next_free[i - 1];
        return &mine->lines[i - 1];
    }
    return mine->used < LINES ? &mine->lines[mine->used++] : NULL;
}

void said_new(struct epoll_watch *w)
{
    const struct epoll_set *s = w->set;
    uint64_t serial;

    w->said = s->mark && s->table == mine ? take_line() : NULL;
    if (!w->said)
        return;
    serial = atomic_load(&w->said->word) >> SERIAL_SHIFT;
    w->serial = (uint32_t)serial;
    w->said->fd = w->fd;
    atomic_store(&w->said->word, serial << SERIAL_SHIFT | IN_KERNEL);
    atomic_store(&w->said->place, place_of(s));
}

// Is the line still this registration's? *word is what it says.
static bool is_current(const struct epoll_watch *w, uint64_t *word)
{
    *word = atomic_load(&w->said->word);
    return *word >> SERIAL_SHIFT == w->serial && atomic_load(&w->said->place);
}

bool said_gone(const struct epoll_watch *w)
{
    uint64_t word;

    return w->said && !is_current(w, &word);
}

void said_delete(struct epoll_watch *w)
{
    if (!w->said || said_gone(w))
        return;
    atomic_store(&w->said->place, 0);
    atomic_fetch_add(&w->said->word, UINT64_C(1) << SERIAL_SHIFT);
}

void said_free(struct epoll_watch *w)
{
    struct epoll_said *said = w->said;
    uint32_t i;

    if (!said || !mine || said < mine->lines || said >= mine->lines + LINES) {
        w->said = NULL;
        return;
    }
    said_delete(w);
    w->said = NULL;
    i = (uint32_t)(said - mine->lines);
    next_free[i] = (uint16_t)first_free;
    first_free = i + 1;
}

static void load(struct epoll_watch *w, uint64_t word)
{
    w->data = atomic_load(&w->said->data);
    w->events = (uint32_t)(word & EVENTS);
}

bool said_load(struct epoll_watch *w)
{
    uint64_t word;

    if (!w->said || !is_current(w, &word))
        return false;
    load(w, word);
    return word & IN_KERNEL;
}

// Returns the word as it was before; 0: the line is not ours any more, or there is none.
static uint64_t change(const struct epoll_watch *w, uint64_t clear, uint64_t set)
{
    uint64_t word;

    if (!w->said)
        return 0;
    do {
        if (!is_current(w, &word))
            return 0;
    } while (!atomic_compare_exchange_weak(&w->said->word, &word, (word & ~clear) | set));
    return word;
}

void said_publish(struct epoll_watch *w)
{
    if (w->said)
        atomic_store(&w->said->data, w->data);
    change(w, EVENTS, w->events);
}

void said_tagged(struct epoll_watch *w)
{
    change(w, IN_KERNEL, 0);
}

bool said_settle(struct epoll_watch *w)
{
    uint64_t word = change(w, 0, IN_KERNEL);

    if (word && !(word & IN_KERNEL))
        load(w, word);
    return !(word & IN_KERNEL);
}

bool said_changed(struct epoll_watch *w)
{
    uint32_t events = w->events;
    uint64_t data = w->data;

    said_load(w);
    return w->events != events || w->data != data;
}

bool said_fire(struct epoll_watch *w)
{
    uint64_t word = 0, fired = w->events & EPOLL_PRIVATE;

    while (w->said && is_current(w, &word)) {
        if (word & IN_KERNEL)
            return false;
        if ((uint32_t)(word & EVENTS) != w->events) {
            load(w, word); // another process has said, or told, something
            return false;
        }
        if (atomic_compare_exchange_weak(&w->said->word, &word, (word & ~EVENTS) | fired))
            break;
    }
    w->events = (uint32_t)fired;
    return true;
}

int said_next(const struct epoll_set *s, uint32_t *at)
{
    while (s->mark && *at < MIN(atomic_load(&s->table->used), LINES)) {
        const struct epoll_said *said = &s->table->lines[(*at)++];

        if (atomic_load(&said->place) == place_of(s))
            return said->fd;
    }
    return -1;
}

void said_adopt(struct epoll_watch *w, uint32_t at)
{
    w->said = &w->set->table->lines[at - 1];
    w->serial = (uint32_t)(atomic_load(&w->said->word) >> SERIAL_SHIFT);
}

bool said_is(const struct epoll_watch *w, uint32_t at)
{
    return w->said == &w->set->table->lines[at - 1];
}
