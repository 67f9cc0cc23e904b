// SPDX-License-Identifier: BSD-2-Clause
#include "policy/index.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

// A value of any dimension, left-aligned.
struct bits {
    uint64_t high, low;
};

// The choices of where to file a rule. `port` is one, filed under both ends' ports.
enum choice {
    BY_USER,
    BY_LOCAL_ADDR,
    BY_REMOTE_ADDR,
    BY_LOCAL_PORT,
    BY_REMOTE_PORT,
    BY_PORT,
    CHOICES
};

struct entry {
    uint64_t hash;
    uint32_t rule;
    uint8_t choice, dim, len;
};

struct filing {
    struct entry *entries;
    size_t n, capacity;
    int err;
};

static struct bits bits_of_number(uint64_t number, unsigned width)
{
    return (struct bits){number << (64 - width), 0};
}

static struct bits bits_of_addr(const uint8_t addr[16])
{
    struct bits b;

    memcpy(&b, addr, sizeof b);
    return (struct bits){be64toh(b.high), be64toh(b.low)};
}

static struct bits bits_first(struct bits b, unsigned len)
{
    if (len < 64)
        return (struct bits){len ? b.high & ~UINT64_C(0) << (64 - len) : 0, 0};
    return (struct bits){b.high, len > 64 ? b.low & ~UINT64_C(0) << (128 - len) : 0};
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t hash_of(enum index_dim dim, unsigned len, struct bits b)
{
    b = bits_first(b, len);
    return mix(b.high ^ mix(b.low ^ mix((uint64_t)dim << 8 | len)));
}

static void file_under(struct filing *f, uint32_t rule, enum choice choice, enum index_dim dim,
                       unsigned len, struct bits b)
{
    size_t capacity = f->capacity ? f->capacity * 2 : 64;
    struct entry *more;

    if (f->n == f->capacity) {
        more = realloc(f->entries, capacity * sizeof *more);
        if (!more) {
            f->err = -ENOMEM;
            return;
        }
        f->entries = more;
        f->capacity = capacity;
    }
    f->entries[f->n++] = (struct entry){hash_of(dim, len, b), rule, choice, dim, len};
}

// Files under the aligned power-of-two blocks that make up the range.
static void file_ports(struct filing *f, uint32_t rule, enum choice choice, enum index_dim dim,
                       const struct port_range *range)
{
    uint32_t low = range->low, size;
    unsigned len;

    if (value_port_is_any(range))
        return;
    while (low <= range->high) {
        for (size = 1, len = 16; !(low & size) && low + 2 * size - 1 <= range->high; len--)
            size *= 2;
        file_under(f, rule, choice, dim, len, bits_of_number(low, 16));
        low += size;
    }
}

static void file_addr(struct filing *f, uint32_t rule, enum choice choice, enum index_dim dim,
                      const struct prefix *prefix)
{
    if (prefix->family)
        file_under(f, rule, choice, dim, prefix->len, bits_of_addr(prefix->addr));
}

// Adds every place where the rule could be filed; its number of CHOICES if there is none.
static void file_rule(struct filing *f, uint32_t i, const struct match *m)
{
    size_t before = f->n;

    if (m->uid != ANY_UID)
        file_under(f, i, BY_USER, DIM_USER, 64, bits_of_number(m->uid, 64));
    file_addr(f, i, BY_LOCAL_ADDR, DIM_LOCAL_ADDR, &m->local.prefix);
    file_addr(f, i, BY_REMOTE_ADDR, DIM_REMOTE_ADDR, &m->remote.prefix);
    file_ports(f, i, BY_LOCAL_PORT, DIM_LOCAL_PORT, &m->local.port);
    file_ports(f, i, BY_REMOTE_PORT, DIM_REMOTE_PORT, &m->remote.port);
    file_ports(f, i, BY_PORT, DIM_LOCAL_PORT, &m->port);
    file_ports(f, i, BY_PORT, DIM_REMOTE_PORT, &m->port);
    if (f->n == before)
        file_under(f, i, BY_USER, DIM_NONE, 0, (struct bits){0, 0});
}

static int by_hash_then_rule(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->rule > y->rule) - (x->rule < y->rule);
}

// How many entries from i on have the same hash.
static size_t run_length(const struct filing *f, size_t i)
{
    size_t end = i;

    while (end < f->n && f->entries[end].hash == f->entries[i].hash)
        end++;
    return end - i;
}

// Keeps of each rule's entries those of the choice whose fullest place is the least full.
static void keep_rarest(struct filing *f, uint32_t (*cost)[CHOICES])
{
    size_t kept = 0;

    for (size_t i = 0, run; i < f->n; i += run) {
        run = run_length(f, i);
        for (size_t j = i; j < i + run; j++) {
            uint32_t *c = &cost[f->entries[j].rule][f->entries[j].choice];

            *c = MAX(*c, run);
        }
    }
    for (size_t i = 0; i < f->n; i++) {
        const uint32_t *c = cost[f->entries[i].rule];
        enum choice best = f->entries[i].choice;

        for (enum choice other = 0; other < CHOICES; other++)
            if (c[other] && (c[other] < c[best] || (c[other] == c[best] && other < best)))
                best = other;
        if (best == f->entries[i].choice)
            f->entries[kept++] = f->entries[i];
    }
    f->n = kept;
}

static void note_kind(struct index *index, const struct entry *e)
{
    for (uint32_t i = 0; i < index->n_kinds; i++) {
        struct index_kind *k = &index->kinds[i];

        if (k->dim == e->dim && k->len == e->len) {
            k->first = MIN(k->first, e->rule);
            return;
        }
    }
    index->kinds[index->n_kinds++] = (struct index_kind){e->dim, e->len, e->rule};
}

static int by_first(const void *a, const void *b)
{
    const struct index_kind *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static void fill(struct index *index, const struct filing *f)
{
    for (size_t i = 0, run; i < f->n; i += run) {
        uint32_t at = f->entries[i].hash & index->mask;

        run = run_length(f, i);
        while (index->slots[at].count)
            at = (at + 1) & index->mask;
        index->slots[at] = (struct index_slot){f->entries[i].hash, i, run};
    }
    for (size_t i = 0; i < f->n; i++) {
        index->filed[i] = f->entries[i].rule;
        note_kind(index, &f->entries[i]);
    }
    qsort(index->kinds, index->n_kinds, sizeof *index->kinds, by_first);
}

static int allocate(struct index *index, size_t n_entries)
{
    size_t n_slots = 4;

    while (n_slots < 2 * n_entries)
        n_slots *= 2;
    index->mask = n_slots - 1;
    index->slots = calloc(n_slots, sizeof *index->slots);
    index->filed = calloc(n_entries + 1, sizeof *index->filed);
    // a dimension of up to 128 bits has at most 129 lengths
    index->kinds = calloc(DIMS * 129, sizeof *index->kinds);
    return index->slots && index->filed && index->kinds ? 0 : -ENOMEM;
}

int index_init(struct index *index, const struct rule *rules, uint32_t n)
{
    struct filing f = {0};
    uint32_t(*cost)[CHOICES] = calloc(n + 1, sizeof *cost);

    *index = (struct index){0};
    for (uint32_t i = 0; i < n; i++)
        file_rule(&f, i, &rules[i].match);
    if (!cost)
        f.err = -ENOMEM;
    if (!f.err && f.n) {
        qsort(f.entries, f.n, sizeof *f.entries, by_hash_then_rule);
        keep_rarest(&f, cost);
    }
    if (!f.err)
        f.err = allocate(index, f.n);
    if (!f.err)
        fill(index, &f);
    else
        index_fini(index);
    free(cost);
    free(f.entries);
    return f.err;
}

void index_fini(struct index *index)
{
    free(index->kinds);
    free(index->slots);
    free(index->filed);
    *index = (struct index){0};
}

// The flow's bits in a dimension; false: not known, so no rule filed there can match.
static bool flow_bits(const struct flow *flow, enum index_dim dim, struct bits *out)
{
    const struct end *end =
        dim == DIM_LOCAL_PORT || dim == DIM_LOCAL_ADDR ? &flow->local : &flow->remote;

    if (dim == DIM_NONE)
        *out = (struct bits){0, 0};
    else if (dim == DIM_USER)
        *out = bits_of_number(flow->facts->uid, 64);
    else if (dim == DIM_LOCAL_PORT || dim == DIM_REMOTE_PORT)
        *out = bits_of_number(end->port, 16);
    else
        *out = bits_of_addr(end->addr);
    return dim <= DIM_USER || end->family;
}

static const struct index_slot *slot_of(const struct index *index, uint64_t hash)
{
    uint32_t at = hash & index->mask;

    while (index->slots[at].count && index->slots[at].hash != hash)
        at = (at + 1) & index->mask;
    return &index->slots[at];
}

// The first rule of slot before best that flow matches, or best.
static uint32_t first_in(const struct index *index, const struct index_slot *slot,
                         const struct rule *rules, const struct flow *flow, uint32_t best)
{
    const uint32_t *filed = index->filed + slot->start;

    for (uint32_t i = 0; i < slot->count && filed[i] < best; i++)
        if (match_misses(&rules[filed[i]].match, flow) == OPT_COUNT)
            return filed[i];
    return best;
}

uint32_t index_find(const struct index *index, const struct rule *rules, uint32_t n,
                    const struct flow *flow)
{
    uint32_t best = n;
    struct bits b;

    for (uint32_t i = 0; i < index->n_kinds && index->kinds[i].first < best; i++) {
        const struct index_kind *kind = &index->kinds[i];

        if (flow_bits(flow, kind->dim, &b))
            best = first_in(index, slot_of(index, hash_of(kind->dim, kind->len, b)), rules, flow,
                            best);
    }
    return best;
}
