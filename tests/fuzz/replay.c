// SPDX-License-Identifier: BSD-2-Clause
// Runs a fuzz target once on each file named, without a fuzzer: so `make check` replays a corpus.
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef RANDOM
#define RANDOM 0 // how many random inputs, the same in every run, follow the corpus
#endif
#define RANDOM_MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(*state >> 40);
}

static void run_random(int count)
{
    static uint8_t data[RANDOM_MAX_BYTES];
    uint64_t state = 1;

    for (int i = 0; i < count; i++) {
        size_t n = ((size_t)next(&state) << 8 | next(&state)) % sizeof data;

        for (size_t k = 0; k < n; k++)
            data[k] = next(&state);
        LLVMFuzzerTestOneInput(data, n);
    }
}

static int replay(const char *dir, const char *name, int number)
{
    static uint8_t data[1 << 20];
    char path[PATH_MAX + 256];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "rb");
    if (!f) {
        printf("not ok %d - %s cannot be read\n", number, name);
        return 1;
    }
    n = fread(data, 1, sizeof data, f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, n); // aborts, if anything is wrong
    printf("ok %d - %s\n", number, name);
    fflush(stdout);
    return 0;
}

int main(void)
{
    const char *top = getenv("top_srcdir");
    char dir[PATH_MAX];
    int n = 0, failed = 0;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/" CORPUS, top ? top : ".");
    d = opendir(dir);
    if (!d) {
        printf("1..0 # SKIP no corpus at %s\n", dir);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            failed += replay(dir, e->d_name, ++n);
    closedir(d);
    if (RANDOM) {
        run_random(RANDOM);
        printf("ok %d - %d random inputs\n", ++n, RANDOM);
    }
    printf("1..%d\n", n);
    return failed > 0;
}
