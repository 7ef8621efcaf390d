/* `flowplanectl tokens`: a way in when no token is left (contract §4.6, §13.2). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "codec/codec_hash.h"
#include "core/core_rand.h"
#include "ctl/ctl_db_int.h"
#include "store/store_token.h"

#define SECRET_CHARS 48

struct bootstrap {
    struct ctl_call *c;
    struct ctl_db db;
    const char *id, *secret;
    int status;
};

static void created(const struct fp_token_result *r, void *arg)
{
    struct bootstrap *b = arg;
    fp_loop_stop(b->db.loop);
    if (r->outcome != FP_TOKEN_DONE) {
        b->status = ctl_db_fail(b->c, &b->db);
        return;
    }
    const char *token = fp_arena_printf(b->c->arena, "fp_pat_%s.%s", b->id, b->secret);
    if (b->c->format == CTL_TABLE) {
        puts(token);
        return;
    }
    json_t *v = json_object();
    json_object_set_new(v, "id", json_string(b->id));
    json_object_set_new(v, "token", json_string(token));
    ctl_print(b->c, v);
    json_decref(v);
}

int ctl_tokens_bootstrap(struct ctl_call *c)
{
    char id[FP_UUID_TEXT_BYTES], secret[SECRET_CHARS + 1] = {0}, hex[2 * FP_SHA256_BYTES + 1];
    uint8_t digest[FP_SHA256_BYTES];
    struct bootstrap b = {.c = c, .id = id, .secret = secret, .status = CTL_DONE};
    int status = ctl_db_open(c, &b.db);
    if (status != CTL_DONE)
        return status;
    fp_uuid_v4(id);
    fp_rand_alnum(secret, SECRET_CHARS);
    fp_sha256(secret, SECRET_CHARS, digest);
    fp_hex(hex, digest, sizeof digest);
    const char *fields =
        fp_arena_printf(c->arena,
                        "{\"name\":\"bootstrap-admin\",\"description\":\"made by flowplanectl\","
                        "\"scopes\":[\"admin:all\"],\"hash\":\"%s\",\"created_by\":\"system\"}",
                        hex);
    struct fp_token_write w = {
        .id = fp_str_of(id),
        .fields = fp_str_of(fields),
        .if_version = -1,
        .admin = true,
        .actor = {.user_id = fp_str_of(fp_arena_printf(c->arena, "uid:%u", (unsigned)geteuid())),
                  .user_agent = FP_STR("flowplanectl")},
    };
    fp_store_token_create(b.db.store, &w, created, &b);
    fp_loop_run(b.db.loop);
    ctl_db_close(&b.db);
    explicit_bzero(secret, sizeof secret);
    return b.status;
}
