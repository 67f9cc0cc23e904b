// SPDX-License-Identifier: BSD-2-Clause
// What the programs that run in the kernel have in common: whose is a packet? The same layout of
// flows as in owner.h; compiled for BPF, included by nothing else.
#ifndef SHUNT_QUEUE_STEER_BPF_H
#define SHUNT_QUEUE_STEER_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_FRAGMENT_BITS 0x3fff // more fragments, and the offset

enum verdict { TAKEN, PASSED, OTHER, VERDICTS };

struct flow {
    struct in6_addr local, remote;
    __be16 remote_port, local_port; // as they follow one another in a header that comes in
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct flow);
    __type(value, __u32);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, VERDICTS);
    __type(key, __u32);
    __type(value, __u64);
} verdicts SEC(".maps");

static __always_inline enum verdict count(enum verdict verdict)
{
    __u32 key = verdict;
    __u64 *n = bpf_map_lookup_elem(&verdicts, &key);

    if (n)
        ++*n;
    return verdict;
}

static __always_inline void mapped(struct in6_addr *to, __be32 v4)
{
    to->in6_u.u6_addr32[0] = 0;
    to->in6_u.u6_addr32[1] = 0;
    to->in6_u.u6_addr32[2] = bpf_htonl(0xffff);
    to->in6_u.u6_addr32[3] = v4;
}

static __always_inline int known(const struct flow *flow)
{
    return bpf_map_lookup_elem(&flows, flow) != 0;
}

// An exact flow, else a listening port on the address, else on any address of the family. Uses f
// up.
static __always_inline enum verdict lookup(struct flow *f)
{
    int is_v4 = f->local.in6_u.u6_addr32[2] == bpf_htonl(0xffff) && !f->local.in6_u.u6_addr32[0] &&
                !f->local.in6_u.u6_addr32[1];

    if (known(f))
        return TAKEN;
    __builtin_memset(&f->remote, 0, sizeof(f->remote));
    f->remote_port = 0;
    if (known(f))
        return TAKEN;
    if (is_v4)
        f->local.in6_u.u6_addr32[3] = 0;
    else
        __builtin_memset(&f->local, 0, sizeof(f->local));
    return known(f) ? TAKEN : PASSED;
}

#endif
