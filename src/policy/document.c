// SPDX-License-Identifier: BSD-2-Clause
// `document conf|man`: prints a document that is made from the schema. Not installed.
#include <stdio.h>
#include <string.h>

#include "policy/render.h"

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "conf"))
        render_conf(stdout);
    else if (argc == 2 && !strcmp(argv[1], "man"))
        render_man(stdout);
    else
        return 2;
    return fflush(stdout) ? 1 : 0;
}
