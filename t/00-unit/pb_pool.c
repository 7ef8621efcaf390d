/* The descriptor pool: look-ups, reflection, and descriptor files that are not what they seem. */
#include "tap.h"
#include "core/core_buf.h"
#include "pb/pb_pool_int.h"

static struct fp_arena *arena;

static const char *field_of(const struct fp_pb_pool *p, const char *message, const char *name)
{
    const struct fp_pb_message *m = fp_pb_pool_message(p, fp_str_of(message));
    const struct fp_pb_field *f = m ? fp_pb_field_by_name(p, m, fp_str_of(name)) : NULL;
    return f ? fp_arena_printf(arena, "%.*s %u", f->name_len, f->name, f->number) : NULL;
}

static void look_ups(const struct fp_pb_pool *p)
{
    static const char hcm[] =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    is_str(field_of(p, hcm, "statPrefix"), "stat_prefix 2", "a field by its JSON name");
    is_str(field_of(p, hcm, "stat_prefix"), "stat_prefix 2", "by its own");
    is_str(field_of(p, hcm, "stat_Prefix"), NULL, "by a mixture");
    is_str(field_of(p, hcm, "statprefix"), NULL, "in lower case");
    is_str(field_of(p, hcm, ""), NULL, "no name");
    is_str(field_of(p, "envoy.config.cluster.v3.Cluster", "statPrefix"), NULL,
           "another message's field");
    ok(!fp_pb_pool_message(p, FP_STR(".envoy.config.cluster.v3.Cluster")), "no leading dot");
    ok(!fp_pb_pool_message(p, FP_STR("envoy.config.cluster.v3.Cluster.LbPolicy")),
       "an enum is no message");
    ok(!fp_pb_pool_message(p, FP_STR_NULL), "nothing");

    unsigned wrong = 0;
    for (uint32_t i = 0; i < p->messages_n; i++) {
        const struct fp_pb_message *m = &p->messages[i];
        wrong += fp_pb_pool_message(p, m->full_name) != m;
        for (uint32_t k = 0; k < m->fields_n; k++) {
            const struct fp_pb_field *f = &m->fields[k];
            char buf[FP_PB_NAME_MAX];
            wrong += fp_pb_field_by_number(m, f->number) != f;
            wrong += fp_pb_field_by_name(p, m, fp_str_n(f->name, f->name_len)) != f;
            wrong += fp_pb_field_by_name(p, m, fp_pb_field_json_name(f, buf)) != f;
            wrong += k > 0 && m->fields[k - 1].number >= f->number;
            wrong += f->json != NULL; /* ours have no names of their own */
        }
        wrong += fp_pb_field_by_number(m, 0) || fp_pb_field_by_number(m, 536870911);
    }
    is_int(wrong, 0, "every field of %u messages is found by number and both names", p->messages_n);
    ok(fp_arena_bytes(p->arena) < 400 << 10, "tables of the built-in set: %zu KB",
       fp_arena_bytes(p->arena) >> 10);
}

static void reflection(const struct fp_pb_pool *p)
{
    struct fp_str file, same;
    ok(fp_pb_pool_file(p, FP_STR("envoy/service/discovery/v3/ads.proto"), &file), "a file by name");
    static const char *const symbols[] = {
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "envoy.service.discovery.v3.AggregatedDiscoveryService.StreamAggregatedResources",
        "envoy.service.discovery.v3.AdsDummy",
    };
    for (size_t i = 0; i < 2; i++)
        ok(fp_pb_pool_file_of_symbol(p, fp_str_of(symbols[i]), &same) && same.data == file.data,
           "%s is in it", symbols[i]);
    ok(!fp_pb_pool_file_of_symbol(p, fp_str_of(symbols[2]), &same), "%s is nowhere", symbols[2]);
    ok(fp_pb_pool_file(p, FP_STR("grpc/health/v1/health.proto"), &file), "health.proto");
    ok(fp_pb_pool_file_of_symbol(p, FP_STR("grpc.health.v1.Health"), &same) &&
           same.data == file.data,
       "a service");
    ok(fp_pb_pool_file_of_symbol(p, FP_STR("grpc.health.v1.HealthCheckResponse.ServingStatus"),
                                 &same) &&
           same.data == file.data,
       "an enum");
    ok(fp_pb_pool_file_of_symbol(p, FP_STR("grpc.health.v1.HealthCheckRequest.service"), &same) &&
           same.data == file.data,
       "a field");
    ok(!fp_pb_pool_file(p, FP_STR("x.proto"), &file), "no such file");
    ok(!fp_pb_pool_file_of_symbol(p, FP_STR("grpc.health.v1"), &same), "a package is no symbol");
    ok(!fp_pb_pool_file_of_symbol(p, FP_STR_NULL, &same), "nothing");
}

/* A set of one file f.proto, package p, with the messages given as bytes. */
static struct fp_str set_of(const char *messages, size_t n)
{
    struct fp_buf file = {0}, set = {0};
    fp_buf_append(&file,
                  "\x0a\x07"
                  "f.proto"
                  "\x12\x01p",
                  12);
    fp_buf_append(&file, messages, n);
    fp_buf_append(&file, "\x62\x06proto3", 8);
    fp_buf_append_byte(&set, 0x0a);
    fp_buf_append_byte(&set, (uint8_t)file.len);
    fp_buf_append(&set, file.data, file.len);
    struct fp_str s = fp_arena_str(arena, fp_buf_str(&set));
    fp_buf_fini(&file);
    fp_buf_fini(&set);
    return s;
}

static const char *refusal(struct fp_str set)
{
    struct fp_pb_pool *p = NULL;
    const char *why = "opened";
    fp_pb_pool_open(&p, set, arena, &why);
    fp_pb_pool_free(&p);
    return why ? why : "opened";
}

/* message M { … } : 0x22 <len> 0x0a 0x01 M fields… */
#define F(name, number, type) "\x12\x09\x0a\x01" name "\x18" number "\x20\x01\x28" type
static void strange_files(void)
{
    is_str(refusal(FP_STR("")), "no messages in it", "an empty file");
    is_str(refusal(FP_STR("hello, world")), "not a google.protobuf.FileDescriptorSet", "text");
#define SET(lit) set_of(lit, sizeof(lit) - 1)
    is_str(refusal(SET("\x22\x0e\x0a\x01M" F("a", "\x01", "\x09"))), "opened", "one message");
    is_str(refusal(SET("\x22\x19\x0a\x01M" F("a", "\x01", "\x09") F("b", "\x01", "\x09"))),
           "p.M: field number 1 twice", "a number twice");
    is_str(refusal(SET("\x22\x03\x0a\x01M\x22\x03\x0a\x01M")), "p.M is defined twice",
           "a message twice");
    is_str(refusal(SET("\x22\x0e\x0a\x01M" F("a", "\x00", "\x09"))),
           "f.proto: not a valid descriptor", "field number 0");
    is_str(refusal(SET("\x22\x0e\x0a\x01M" F("a", "\x01", "\x13"))),
           "f.proto: not a valid descriptor", "a type that does not exist");
    is_str(refusal(SET("\x22\x14\x0a\x01M\x12\x0f\x0a\x01"
                       "a\x18\x01\x20\x01\x28\x0b\x32\x04.p.N")),
           "field a: type .p.N is not in the set", "a missing type");
    is_str(refusal(SET("\x22\x07\x0a\x01M\x3a\x02\x38\x01")), "p.M: not as the protocol defines it",
           "a map entry without key");
}

static void truncated(void)
{
    struct fp_pb_pool *p;
    struct fp_buf set = {0};
    struct fp_str file;
    fp_pb_pool_builtin(&p);
    for (uint32_t i = 0; i < p->files_n && set.len < 3000; i++) {
        fp_pb_pool_file(p, p->files[i].name, &file);
        uint8_t head[] = {0x0a, (uint8_t)(file.len & 0x7f) | 0x80, (uint8_t)(file.len >> 7)};
        fp_buf_append(&set, head, sizeof head);
        fp_buf_append_str(&set, file);
    }
    unsigned opened = 0;
    for (size_t n = 0; n < set.len; n++) {
        char *exact = fp_arena_dup(arena, set.data, n);
        opened += strcmp(refusal(fp_str_n(exact, n)), "opened") == 0;
        if (n % 97 == 0)
            fp_arena_reset(arena);
    }
    ok(opened <= p->files_n, "%zu truncations of a set: refused, or whole files (%u)", set.len,
       opened);
    fp_buf_fini(&set);
    fp_pb_pool_free(&p);
}

int main(void)
{
    struct fp_pb_pool *p;
    arena = fp_arena_new(NULL);
    is_int(fp_pb_pool_builtin(&p), 0, "the built-in set opens");
    look_ups(p);
    reflection(p);
    fp_pb_pool_free(&p);
    ok(!p, "free takes the pointer");
    fp_pb_pool_free(&p);
    strange_files();
    truncated();
    fp_arena_free(&arena);
    return done_testing();
}
