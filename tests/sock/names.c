// SPDX-License-Identifier: BSD-2-Clause
// This program exports names that libraries of Shunt's have, too (as lighttpd does config_init),
// and lives through every topic with them. It does not see theirs.
#include "common/sock.h"

#include <dlfcn.h>
#include <stdlib.h>

#define MINE(name)                                                                                 \
    __attribute__((visibility("default"))) void name(void);                                        \
    void name(void)                                                                                \
    {                                                                                              \
        abort();                                                                                   \
    }

MINE(config_init)
MINE(config_destroy)
MINE(config_clear)
MINE(config_read_string)
MINE(config_lookup)
MINE(config_setting_lookup)
MINE(config_setting_add)
MINE(config_setting_length)
MINE(protobuf_c_message_pack)
MINE(protobuf_c_message_unpack)
MINE(protobuf_c_message_get_packed_size)
MINE(protobuf_c_buffer_simple_append)

static void not_shunts(struct conn *c)
{
    conn_warm(c);
    REQUIRE(dlsym(RTLD_DEFAULT, "config_init") == (void *)config_init);
    REQUIRE(!dlsym(RTLD_DEFAULT, "config_read_file"));
    REQUIRE(!dlsym(RTLD_DEFAULT, "protobuf_c_message_check"));
    REQUIRE(!dlsym(RTLD_DEFAULT, "policy_load"));
}

static const struct sock_case cases[] = {
    CASE(not_shunts),
};
SOCK_TOPIC(names);
