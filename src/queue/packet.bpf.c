// SPDX-License-Identifier: BSD-2-Clause
// The two halves of AF_PACKET steering. A packet socket is a tap: the kernel sees every frame that
// it sees. So the socket's filter lets only our frames into the ring, and a program on the device's
// ingress, which runs after the taps, drops the same frames before the kernel's TCP answers RST.
#include "queue/steer.bpf.h"

#include <linux/pkt_cls.h>

#define WHOLE_FRAME 0x40000

static __always_inline enum verdict steer_v4(struct __sk_buff *skb, struct flow *f)
{
    struct iphdr ip;

    if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
        ip.protocol != IPPROTO_TCP || ip.frag_off & bpf_htons(IP_FRAGMENT_BITS))
        return OTHER;
    mapped(&f->local, ip.daddr);
    mapped(&f->remote, ip.saddr);
    if (bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &f->remote_port, 4))
        return OTHER;
    return lookup(f);
}

static __always_inline enum verdict steer_v6(struct __sk_buff *skb, struct flow *f)
{
    struct ipv6hdr ip;

    if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6 ||
        ip.nexthdr != IPPROTO_TCP)
        return OTHER;
    f->local = ip.daddr;
    f->remote = ip.saddr;
    if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &f->remote_port, 4))
        return OTHER;
    return lookup(f);
}

// Frames of a VLAN belong to the VLAN's device, frames to another station to nobody here.
static __always_inline enum verdict steer(struct __sk_buff *skb)
{
    struct flow f;

    if (skb->vlan_present || skb->pkt_type != 0 /* PACKET_HOST */)
        return OTHER;
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return steer_v4(skb, &f);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return steer_v6(skb, &f);
    return OTHER;
}

// Bytes of the frame that go into the ring; counts, since every frame comes by here.
SEC("socket")
int shunt_filter(struct __sk_buff *skb)
{
    return count(steer(skb)) == TAKEN ? WHOLE_FRAME : 0;
}

SEC("tc")
int shunt_tc(struct __sk_buff *skb)
{
    return steer(skb) == TAKEN ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

// For kernels without tcx (before 6.6), where a filter outlives whoever put it there: the program
// that is attached only jumps to shunt_tc, through an array that the kernel empties when the last
// process that has it open is gone. Then nothing is dropped any more.
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, int(void *));
} owner SEC(".maps") = {.values = {[0] = (void *)&shunt_tc}};

SEC("tc")
int shunt_tc_entry(struct __sk_buff *skb)
{
    bpf_tail_call(skb, &owner, 0);
    return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
