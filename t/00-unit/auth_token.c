/* Authentication: every row of the table of contract §4.3, in its order. */
#include "auth/auth_token.c"
#include <unistd.h>
#include "snap/snap_builder.h"
#include "tap.h"

#define ID      "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7"
#define SECRET  "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL"
#define NOW_MS  1000000
#define REVOKED "11111111-2f6c-4b39-8f53-1d4b7e1c20a7"
#define DUE     "22222222-2f6c-4b39-8f53-1d4b7e1c20a7"
#define EXPIRED "33333333-2f6c-4b39-8f53-1d4b7e1c20a7"

static void add(struct fp_snap_builder *b, const char *id, int status, int64_t expires)
{
    struct fp_buf mem = {0};
    struct fp_str scope = FP_STR("admin:all");
    struct fp_snap_token t = {.id = fp_str_of(id),
                              .name = FP_STR("t"),
                              .status = status,
                              .expires_wall_ms = expires,
                              .scopes = &scope,
                              .scopes_n = 1};
    fp_sha256(SECRET, sizeof(SECRET) - 1, t.secret_hash);
    fp_snap_token_encode(&mem, &t);
    struct fp_snap_entry e = {.name = fp_str_of(id), .blob = fp_buf_str(&mem)};
    if (fp_snap_builder_add(b, FP_KIND_TOKEN, &e) < 0)
        diag("builder refused %s", id);
    fp_buf_fini(&mem);
}

static struct fp_snap *snapshot(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    struct fp_snap_meta meta = {.generation = 1, .revision = 1};
    struct fp_snap *s = NULL;
    int fd = -1;
    add(b, ID, FP_TOKEN_ACTIVE, 0);
    add(b, REVOKED, FP_TOKEN_REVOKED, 0);
    add(b, DUE, FP_TOKEN_ACTIVE, NOW_MS);
    add(b, EXPIRED, FP_TOKEN_EXPIRED, 0);
    if (fp_snap_builder_finish(b, &meta, &fd) < 0 || fp_snap_open(fd, &s) < 0)
        diag("no snapshot");
    close(fd);
    fp_snap_builder_free(&b);
    return s;
}

int main(void)
{
    static const struct {
        const char *header; /* NULL: none */
        enum fp_auth_verdict verdict;
        const char *what;
    } cases[] = {
        {NULL, FP_AUTH_MISSING, "no header"},
        {"  ", FP_AUTH_MISSING, "an empty header"},
        {"Bearer fp_pat_" ID "." SECRET, FP_AUTH_OK, "a good token"},
        {"bEARER   fp_pat_" ID "." SECRET " ", FP_AUTH_OK, "the word in any case, blanks"},
        {"fp_pat_" ID "." SECRET, FP_AUTH_OK, "a bare value"},
        {"Basic dXNlcjpwYXNz", FP_AUTH_MALFORMED, "another scheme"},
        {"Bearer fp_pat_" ID, FP_AUTH_MALFORMED, "no secret"},
        {"Bearer fp_pat_" ID ".short", FP_AUTH_MALFORMED, "a short secret"},
        {"Bearer fp_pat_" ID "." SECRET "!", FP_AUTH_MALFORMED, "a foreign character"},
        {"Bearer fp_pat_9C41F0DE-2f6c-4b39-8f53-1d4b7e1c20a7." SECRET, FP_AUTH_MALFORMED,
         "an upper case id"},
        {"Bearer fp_pat_44444444-2f6c-4b39-8f53-1d4b7e1c20a7." SECRET, FP_AUTH_NOT_FOUND,
         "an unknown id"},
        {"Bearer fp_pat_" ID "." SECRET "x", FP_AUTH_BAD_SECRET, "a wrong secret"},
        {"Bearer fp_pat_" REVOKED "." SECRET, FP_AUTH_REVOKED, "revoked"},
        {"Bearer fp_pat_" REVOKED "." SECRET "x", FP_AUTH_BAD_SECRET,
         "revoked, wrong secret: the id alone tells nothing"},
        {"Bearer fp_pat_" DUE "." SECRET, FP_AUTH_EXPIRED,
         "expired by the clock this very millisecond"},
        {"Bearer fp_pat_" EXPIRED "." SECRET, FP_AUTH_INACTIVE,
         "set to expired by the clean-up pass"},
    };
    struct fp_snap *s = snapshot();
    struct fp_snap_token t;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        is_int(fp_auth_check(s, fp_str_of(cases[i].header), NOW_MS, &t), cases[i].verdict, "%s",
               cases[i].what);
    is_str(fp_auth_infos[FP_AUTH_REVOKED].message, fp_auth_infos[FP_AUTH_NOT_FOUND].message,
           "revoked and unknown read alike");
    fp_snap_unref(&s);
    return done_testing();
}
