// SPDX-License-Identifier: BSD-2-Clause
// An engine whose memory somebody else writes over between its calls: any program of the user can.
// Its connections may do what they like; nothing outside of the arena may be touched (ASan sees
// that), and each call must end.
#include <string.h>

#include "base/util.h"
#include "conn_steps.h"
#include "tcp/arena.h"

static uint32_t *arena_words(uint32_t *count)
{
    *count = (uint32_t)(tcp_arena_size(&conn_cfg.tcp) / sizeof(uint32_t));
    return (uint32_t *)(void *)stack_engine(conn_stack)->arena;
}

// A word that is likely to be taken for something: an index, an end, what stands elsewhere.
static uint32_t word(struct input *in)
{
    uint32_t count, *words = arena_words(&count);

    switch (input_u8(in) % 6) {
    case 0:
        return input_u8(in) % conn_cfg.tcp.max_conns;
    case 1:
        return input_u8(in) % conn_cfg.tcp.max_spans;
    case 2:
        return TCP_NONE - input_u8(in) % 2;
    case 3:
        return words[input_u32(in) % count];
    case 4:
        return 0;
    default:
        return input_u32(in);
    }
}

// Connections and spans are few and at the front: most scribbles go there.
static uint32_t place(struct input *in, uint32_t count)
{
    const struct tcp_ctx *ctx = stack_engine(conn_stack);
    uint32_t conns = (uint32_t)((uint32_t *)(void *)ctx->conns - (uint32_t *)(void *)ctx->arena);

    if (input_u8(in) & 1)
        return (conns + input_u16(in) % (6 * (uint32_t)sizeof(struct tcp_conn) / 4)) % count;
    return input_u32(in) % count;
}

static void scribble(struct input *in)
{
    uint32_t count, *words = arena_words(&count);

    for (int n = input_u8(in) % 8; n > 0; n--)
        words[place(in, count)] = word(in);
}

static void drop_sent(void)
{
    static uint8_t bytes[STACK_PACKET_MAX];
    uint64_t sent_ns;

    while (stack_take(conn_stack, bytes, &sent_ns) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    conn_start(input_u8(&in), true);
    for (int i = 0; i < CONN_STEPS_MAX && in.left; i++) {
        if (input_u8(&in) % 4 == 0)
            scribble(&in);
        conn_step(&in);
        drop_sent();
    }
    stack_free(conn_stack);
    return 0;
}
