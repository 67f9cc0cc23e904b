// SPDX-License-Identifier: BSD-2-Clause
// AF_XDP steering: our flows to the socket of the hardware queue that they came by, all else to the
// kernel. A program that was attached through libxdp's dispatcher stays when its owner dies, and
// the sockets stay while a driver has them open; so the owner keeps one more socket, in `alive`,
// that nobody else has. The kernel takes it out of the map when the owner is gone.
#include "queue/steer.bpf.h"

#include <xdp/xdp_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} alive SEC(".maps");

struct {
    __uint(priority, 20);
    __uint(XDP_PASS, 1);
} XDP_RUN_CONFIG(shunt_xdp);

// By a call, since arithmetic on packet pointers asks for CAP_PERFMON, which the owner need not
// have.
static __always_inline enum verdict ports(struct xdp_md *ctx, struct flow *f, __u32 tcp_at)
{
    return bpf_xdp_load_bytes(ctx, tcp_at, &f->remote_port, 4) ? OTHER : lookup(f);
}

static __always_inline enum verdict steer_v4(struct xdp_md *ctx, const struct iphdr *ip,
                                             const void *end)
{
    struct flow f;

    if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 ||
        ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
        return OTHER;
    mapped(&f.local, ip->daddr);
    mapped(&f.remote, ip->saddr);
    return ports(ctx, &f, ETH_HLEN + ip->ihl * 4);
}

static __always_inline enum verdict steer_v6(struct xdp_md *ctx, const struct ipv6hdr *ip,
                                             const void *end)
{
    struct flow f;

    if ((const void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_TCP)
        return OTHER;
    f.local = ip->daddr;
    f.remote = ip->saddr;
    return ports(ctx, &f, ETH_HLEN + sizeof(*ip));
}

static __always_inline enum verdict steer(struct xdp_md *ctx)
{
    const void *end = (const void *)(long)ctx->data_end;
    const struct ethhdr *ether = (const void *)(long)ctx->data;

    if ((const void *)(ether + 1) > end)
        return OTHER;
    if (ether->h_proto == bpf_htons(ETH_P_IP))
        return steer_v4(ctx, (const void *)(ether + 1), end);
    if (ether->h_proto == bpf_htons(ETH_P_IPV6))
        return steer_v6(ctx, (const void *)(ether + 1), end);
    return OTHER;
}

SEC("xdp.frags")
int shunt_xdp(struct xdp_md *ctx)
{
    __u32 zero = 0;

    if (!bpf_map_lookup_elem(&alive, &zero) || count(steer(ctx)) != TAKEN)
        return XDP_PASS;
    // a hardware queue that is none of ours has no socket here: the kernel's, too
    return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
