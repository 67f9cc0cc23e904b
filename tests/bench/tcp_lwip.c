// SPDX-License-Identifier: BSD-2-Clause
// lwIP under measurement. A module of its own, loaded at run time: its names are the same as ours.
#include <stdlib.h>
#include <string.h>

#include <lwip/init.h>
#include <lwip/ip4.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>

#include "base/util.h"
#include "tcp_engine.h"

#define QUEUE 4096
#define WRITE 65536

SHUNT_EXPORT extern const struct tcp_engine bench_engine;

static struct {
    struct netif netif[2];
    struct pbuf *packet[QUEUE];
    struct netif *to[QUEUE];
    uint32_t first, last;
    struct tcp_pcb *client, *server, *listener;
    uint64_t got[2]; // bytes that the server, the client has read
    uint32_t closed;
    uint8_t in[WRITE], out[WRITE];
} l;

// A packet out of one netif is one into the other: a copy, as a device would take it.
static err_t put(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
    struct pbuf *copy = pbuf_alloc(PBUF_RAW, p->tot_len, PBUF_RAM);

    pbuf_copy(copy, p);
    l.packet[l.last % QUEUE] = copy;
    l.to[l.last++ % QUEUE] = netif == &l.netif[0] ? &l.netif[1] : &l.netif[0];
    return ERR_OK;
}

static err_t init_netif(struct netif *netif)
{
    netif->name[0] = 'b';
    netif->mtu = 1500;
    netif->output = put;
    netif->flags |= NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void pump(void)
{
    while (l.first != l.last) {
        uint32_t i = l.first++ % QUEUE;

        ip4_input(l.packet[i], l.to[i]);
    }
}

static err_t on_data(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    int end = pcb == l.client;

    if (!p) {
        l.closed++;
        return ERR_OK;
    }
    pbuf_copy_partial(p, l.in, p->tot_len, 0);
    l.got[end] += p->tot_len;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    l.server = pcb;
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, on_data);
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    return ERR_OK;
}

static void start(void)
{
    ip4_addr_t mask;

    if (l.listener)
        return;
    lwip_init();
    IP4_ADDR(&mask, 255, 255, 255, 0);
    for (int i = 0; i < 2; i++) {
        ip4_addr_t addr;

        IP4_ADDR(&addr, 10, 0, 0, 1 + i);
        netif_add(&l.netif[i], &addr, &mask, NULL, NULL, init_netif, ip4_input);
        netif_set_up(&l.netif[i]);
    }
    l.listener = tcp_new();
    tcp_bind(l.listener, IP_ADDR_ANY, 80);
    tcp_bind_netif(l.listener, &l.netif[1]); // or else it would see its own address and loop back
    l.listener = tcp_listen(l.listener);
    tcp_accept(l.listener, on_accept);
}

static void open_pair(void)
{
    ip_addr_t from, to;

    start();
    IP_ADDR4(&from, 10, 0, 0, 1);
    IP_ADDR4(&to, 10, 0, 0, 2);
    l.client = tcp_new();
    tcp_bind(l.client, &from, 0);
    tcp_bind_netif(l.client, &l.netif[0]);
    tcp_nagle_disable(l.client);
    tcp_recv(l.client, on_data);
    tcp_connect(l.client, &to, 80, on_connected);
    pump();
}

static void close_pair(void)
{
    tcp_close(l.client);
    pump();
    tcp_close(l.server);
    pump();
}

static void bulk(uint64_t bytes)
{
    uint64_t sent = 0;

    open_pair();
    l.got[0] = 0;
    while (l.got[0] < bytes) {
        uint64_t before = l.got[0];
        u16_t room = tcp_sndbuf(l.client);

        if (room && sent < bytes) {
            u16_t n = MIN(room, bytes - sent);

            if (tcp_write(l.client, l.out, n, TCP_WRITE_FLAG_COPY) == ERR_OK)
                sent += n;
        }
        tcp_output(l.client);
        pump();
        if (l.got[0] == before) // a delayed ACK holds it
            tcp_tmr();
    }
    close_pair();
}

static void ping(struct tcp_pcb *pcb)
{
    tcp_write(pcb, l.out, 64, TCP_WRITE_FLAG_COPY);
    tcp_output(pcb);
    pump();
}

static void round_trips(uint32_t times)
{
    open_pair();
    for (uint32_t i = 0; i < times; i++) {
        ping(l.client);
        ping(l.server);
    }
    close_pair();
}

static void lives(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        open_pair();
        ping(l.client);
        ping(l.server);
        close_pair();
    }
}

static void flush(void)
{
    for (int i = 0; i < 1000 && tcp_tw_pcbs; i++)
        tcp_tmr();
}

const struct tcp_engine bench_engine = {"lwip", bulk, round_trips, lives, flush};
