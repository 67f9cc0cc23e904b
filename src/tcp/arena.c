// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/arena.h"

#include <stddef.h>

// One implementation for both members: `at` is the offset of the link in the connection.
static struct tcp_link *link_of(const struct tcp_ctx *ctx, uint32_t i, size_t at)
{
    return (struct tcp_link *)(void *)((char *)&ctx->conns[i] + at);
}

static void append(struct tcp_ctx *ctx, struct tcp_link *list, uint32_t i, size_t at)
{
    struct tcp_link *link = link_of(ctx, i, at);

    link->next = TCP_NONE;
    link->prev = list->prev;
    if (list->prev == TCP_NONE)
        list->next = i;
    else
        link_of(ctx, list->prev, at)->next = i;
    list->prev = i;
}

static void remove_link(struct tcp_ctx *ctx, struct tcp_link *list, uint32_t i, size_t at)
{
    struct tcp_link *link = link_of(ctx, i, at);

    if (link->prev == TCP_NONE)
        list->next = link->next;
    else
        link_of(ctx, link->prev, at)->next = link->next;
    if (link->next == TCP_NONE)
        list->prev = link->prev;
    else
        link_of(ctx, link->next, at)->prev = link->prev;
}

void out_list_append(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    append(ctx, list, conn_index(ctx, c), offsetof(struct tcp_conn, out));
}

void out_list_remove(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    remove_link(ctx, list, conn_index(ctx, c), offsetof(struct tcp_conn, out));
}

void side_list_append(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    append(ctx, list, conn_index(ctx, c), offsetof(struct tcp_conn, side));
}

void side_list_remove(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    remove_link(ctx, list, conn_index(ctx, c), offsetof(struct tcp_conn, side));
}
