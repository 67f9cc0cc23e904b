// SPDX-License-Identifier: BSD-2-Clause
// Runs a fuzz target once on each file named, without a fuzzer: so `make check` replays a corpus.
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    printf("1..%d\n", n);
    return failed > 0;
}
