// SPDX-License-Identifier: BSD-2-Clause
// The libraries of others that the preloaded one calls, kept out of the program's sight. As
// ordinary dependencies they would be in the scope where the program's own names are looked for
// first: a program that exports a function called config_init (lighttpd does) would be called in
// libconfig's place, and a plugin that means its own would get libconfig's. So each is loaded
// beside the program, and what Shunt's code calls by its usual name is a function here.
#include "shim/library.h"

#include "config.h"

#include <dlfcn.h>
#include <libconfig.h>
#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>
#include <stdio.h>

// F(result, name, (parameters), (arguments)): what any room of the library calls; without one of
// them it does not link
#define LIBCONFIG(F)                                                                               \
    F(void, config_destroy, (config_t * c), (c))                                                   \
    F(void, config_init, (config_t * c), (c))                                                      \
    F(config_setting_t *, config_lookup, (const config_t *c, const char *path), (c, path))         \
    F(int, config_read_string, (config_t * c, const char *text), (c, text))                        \
    F(void, config_set_include_dir, (config_t * c, const char *dir), (c, dir))                     \
    F(config_setting_t *, config_setting_add,                                                      \
      (config_setting_t * parent, const char *name, int type), (parent, name, type))               \
    F(int, config_setting_get_bool, (const config_setting_t *s), (s))                              \
    F(config_setting_t *, config_setting_get_elem, (const config_setting_t *s, unsigned i),        \
      (s, i))                                                                                      \
    F(double, config_setting_get_float, (const config_setting_t *s), (s))                          \
    F(int, config_setting_get_int, (const config_setting_t *s), (s))                               \
    F(long long, config_setting_get_int64, (const config_setting_t *s), (s))                       \
    F(config_setting_t *, config_setting_get_member,                                               \
      (const config_setting_t *s, const char *name), (s, name))                                    \
    F(const char *, config_setting_get_string, (const config_setting_t *s), (s))                   \
    F(const char *, config_setting_get_string_elem, (const config_setting_t *s, int i), (s, i))    \
    F(int, config_setting_length, (const config_setting_t *s), (s))                                \
    F(int, config_setting_set_string, (config_setting_t * s, const char *text), (s, text))

#define PROTOBUF(F)                                                                                \
    F(void, protobuf_c_message_free_unpacked,                                                      \
      (ProtobufCMessage * m, ProtobufCAllocator * allocator), (m, allocator))                      \
    F(size_t, protobuf_c_message_get_packed_size, (const ProtobufCMessage *m), (m))                \
    F(size_t, protobuf_c_message_pack, (const ProtobufCMessage *m, uint8_t *out), (m, out))        \
    F(size_t, protobuf_c_message_pack_to_buffer,                                                   \
      (const ProtobufCMessage *m, ProtobufCBuffer *out), (m, out))                                 \
    F(ProtobufCMessage *, protobuf_c_message_unpack,                                               \
      (const ProtobufCMessageDescriptor *type, ProtobufCAllocator *allocator, size_t n,            \
       const uint8_t *bytes),                                                                      \
      (type, allocator, n, bytes))

#define SLOT(result, name, parameters, arguments) __typeof__(name) *name;
static struct {
    LIBCONFIG(SLOT)
    PROTOBUF(SLOT)
} theirs;

#define FORWARD(result, name, parameters, arguments)                                               \
    result name parameters                                                                         \
    {                                                                                              \
        return theirs.name arguments;                                                              \
    }
LIBCONFIG(FORWARD)
PROTOBUF(FORWARD)

// What generated code initialises text with; only ever read.
const char protobuf_c_empty_string[] = "";

typedef void *(*open_fn)(const char *name, int mode);

// RTLD_DEEPBIND: its own calls of its own functions, too, find them and not the program's. libc's
// dlopen itself, as a sanitizer in the program would end it for that flag. Never closed.
static void *load(const char *name)
{
    open_fn open = (open_fn)dlsym(RTLD_NEXT, "dlopen");

    return open ? open(name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : NULL;
}

static bool find(void *slot, void *library, const char *name)
{
    *(void **)slot = library ? dlsym(library, name) : NULL;
    return *(void **)slot;
}

static bool find_config(void)
{
    void *library = load(LIBCONFIG_SONAME);

#define FIND(result, name, parameters, arguments) &&find(&theirs.name, library, #name)
    return true LIBCONFIG(FIND);
}

static bool find_protobuf(void)
{
    void *library = load(PROTOBUF_C_SONAME);

    return true PROTOBUF(FIND);
}

static bool find_all(void)
{
    if (find_config() && find_protobuf())
        return true;
    fprintf(stderr, "shunt: %s; everything stays on kernel TCP\n", dlerror());
    return false;
}

bool shim_libraries(void)
{
    enum { NOT_YET, BUSY, ABSENT, THERE };
    static _Atomic int state;
    int expected = NOT_YET;

    // whoever comes while it is under way (a thread, or what the loader itself calls) goes without
    if (atomic_compare_exchange_strong(&state, &expected, BUSY))
        atomic_store(&state, find_all() ? THERE : ABSENT);
    return atomic_load(&state) == THERE;
}
