// SPDX-License-Identifier: BSD-2-Clause
// What the fuzz targets share. Each target is a libFuzzer entry point; with replay.c it is a plain
// program that runs inputs from files.
#ifndef SHUNT_TESTS_FUZZ_FUZZ_H
#define SHUNT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Must hold, whatever the input: ends the process with the reason where it does not.
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// The input as a stream of numbers; zeros when it has ended.
struct input {
    const uint8_t *p;
    size_t left;
};

static inline uint8_t input_u8(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++;
}

static inline uint16_t input_u16(struct input *in)
{
    uint16_t high = input_u8(in);

    return (uint16_t)(high << 8 | input_u8(in));
}

static inline uint32_t input_u32(struct input *in)
{
    uint32_t high = input_u16(in);

    return high << 16 | input_u16(in);
}

#endif
