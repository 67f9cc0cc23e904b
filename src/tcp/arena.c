// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/arena.h"

void side_list_append(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    c->side = (struct tcp_link){TCP_NONE, list->prev};
    if (list->prev == TCP_NONE)
        list->next = conn_index(ctx, c);
    else
        conn_at(ctx, list->prev)->side.next = conn_index(ctx, c);
    list->prev = conn_index(ctx, c);
}

void side_list_remove(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c)
{
    if (c->side.prev == TCP_NONE)
        list->next = c->side.next;
    else
        conn_at(ctx, c->side.prev)->side.next = c->side.next;
    if (c->side.next == TCP_NONE)
        list->prev = c->side.prev;
    else
        conn_at(ctx, c->side.next)->side.prev = c->side.prev;
}
