/* Segments: what the builder writes the reader gives back, and a damaged one is refused (design
 * §6). */
#include "snap/snap_reader.c"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core/core_buf.h"
#include "snap/snap_builder.h"
#include "snap/snap_token.h"
#include "tap.h"

static const struct fp_snap_meta META = {
    .generation = 7, .epoch = "epoch", .commit_id = "commit", .revision = 42, .built_wall_ms = 99};

static struct fp_snap_entry entry(const char *name, const char *blob)
{
    return (struct fp_snap_entry){.name = fp_str_of(name), .blob = fp_str_of(blob)};
}

static int add(struct fp_snap_builder *b, enum fp_kind kind, const char *name, const char *blob)
{
    struct fp_snap_entry e = entry(name, blob);
    return fp_snap_builder_add(b, kind, &e);
}

static int finish(struct fp_snap_builder **b)
{
    int fd = -1;
    is_int(fp_snap_builder_finish(*b, &META, &fd), 0, "a segment is written");
    fp_snap_builder_free(b);
    return fd;
}

static struct fp_snap *open_fd(int fd)
{
    struct fp_snap *s = NULL;
    is_int(fp_snap_open(fd, &s), 0, "and opened");
    close(fd);
    return s;
}

static void round_trip(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    struct fp_ref refs[] = {{.kind = FP_KIND_CLUSTER, .name = FP_STR("c1")},
                            {.kind = FP_KIND_SECRET, .name = FP_STR("s")}};
    struct fp_snap_entry r = entry("r1", "route bytes");
    r.refs = refs;
    r.refs_n = 2;
    r.team = FP_STR("blue");
    r.rest = FP_STR("{\"name\":\"r1\"}");
    r.row_version = 5;
    fp_snap_builder_add(b, FP_KIND_ROUTE, &r);
    is_int(add(b, FP_KIND_CLUSTER, "c2", "two"), 0, "c2");
    is_int(add(b, FP_KIND_CLUSTER, "c1", "one"), 0, "c1");
    is_int(add(b, FP_KIND_CLUSTER, "c1", "again"), FP_ERR_INVALID, "E-10: a name twice is refused");
    is_int(add(b, FP_KIND_ENDPOINT, "c1", "same name, other kind"), 0, "another kind");
    struct fp_snap *s = open_fd(finish(&b));
    struct fp_snap_entry e;

    is_int((long)fp_snap_meta(s)->generation, 7, "generation");
    is_int((long)fp_snap_meta(s)->revision, 42, "revision");
    is_int((long)fp_snap_meta(s)->built_wall_ms, 99, "time");
    ok(memcmp(fp_snap_meta(s)->epoch, META.epoch, 16) == 0, "epoch");
    is_int(fp_snap_count(s, FP_KIND_CLUSTER), 2, "two clusters");
    is_int(fp_snap_count(s, FP_KIND_LISTENER), 0, "no listeners");
    fp_snap_at(s, FP_KIND_CLUSTER, 0, &e);
    ok(fp_str_eq_c(e.name, "c1") && fp_str_eq_c(e.blob, "one"), "sorted by name");
    ok(!e.team.data && !e.rest.data, "no team and no REST form are told from empty ones");
    struct fp_snap_entry second;
    fp_snap_at(s, FP_KIND_CLUSTER, 1, &second);
    ok(e.blob.data + e.blob.len == second.blob.data, "blobs of a kind lie back to back");
    ok(fp_snap_find(s, FP_KIND_ROUTE, FP_STR("r1"), &e), "found by name");
    ok(fp_str_eq_c(e.team, "blue") && fp_str_eq_c(e.rest, "{\"name\":\"r1\"}"), "team, REST form");
    is_int((long)e.row_version, 5, "row version");
    uint8_t hash[32];
    fp_sha256("route bytes", 11, hash);
    ok(memcmp(hash, e.hash, 32) == 0, "the hash is that of the blob");
    is_int(e.refs_n, 2, "two references");
    enum fp_kind kind;
    struct fp_str name;
    fp_snap_ref_at(s, &e, 1, &kind, &name);
    ok(kind == FP_KIND_SECRET && fp_str_eq_c(name, "s"), "the second one");
    ok(!fp_snap_find(s, FP_KIND_ROUTE, FP_STR("r2"), &e), "not there");
    ok(!fp_snap_find(s, FP_KIND_LISTENER, FP_STR("r1"), &e), "not there in an empty kind");
    struct fp_snap *t = fp_snap_ref(s);
    fp_snap_unref(&s);
    ok(!s && fp_snap_count(t, FP_KIND_CLUSTER) == 2, "a reference keeps it mapped");
    fp_snap_unref(&t);
}

static void set_hashes(void)
{
    uint8_t hash[2][32];
    for (int i = 0; i < 2; i++) {
        struct fp_snap_builder *b = fp_snap_builder_new();
        add(b, FP_KIND_CLUSTER, i ? "a" : "b", i ? "1" : "2");
        add(b, FP_KIND_CLUSTER, i ? "b" : "a", i ? "2" : "1");
        add(b, FP_KIND_LISTENER, "ab", i ? "x" : "y");
        struct fp_snap *s = open_fd(finish(&b));
        memcpy(hash[i], fp_snap_set_hash(s, FP_KIND_CLUSTER), 32);
        if (i)
            ok(memcmp(hash[i], fp_snap_set_hash(s, FP_KIND_LISTENER), 32) != 0, "kinds differ");
        uint64_t sum[4] = {0}, term[4];
        struct fp_snap_entry e;
        for (uint32_t j = 0; j < 2; j++) {
            fp_snap_at(s, FP_KIND_CLUSTER, j, &e);
            fp_snap_set_term(&e, term);
            for (int k = 0; k < 4; k++)
                sum[k] += term[k];
        }
        ok(memcmp(sum, hash[i], 32) == 0, "the set hash is the sum of its terms");
        fp_snap_unref(&s);
    }
    ok(memcmp(hash[0], hash[1], 32) == 0, "S-17: equal contents, equal set hash, in any order");
    uint64_t a[4], b[4];
    struct fp_snap_entry x = {.name = FP_STR("a"), .hash = hash[0]}, y = x;
    y.name = FP_STR("b");
    fp_snap_set_term(&x, a);
    fp_snap_set_term(&y, b);
    ok(memcmp(a, b, sizeof a) != 0, "a name takes part in its term");
}

static void many(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "cluster-%d", i * 7919 % 3000);
        add(b, FP_KIND_CLUSTER, name, name);
    }
    struct fp_snap *s = open_fd(finish(&b));
    struct fp_snap_entry e, before = {.name = FP_STR("")};
    int found = 0, sorted = 1, indexed = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "cluster-%u", i);
        found += fp_snap_find(s, FP_KIND_CLUSTER, fp_str_of(name), &e) && fp_str_eq_c(e.blob, name);
        fp_snap_at(s, FP_KIND_CLUSTER, i, &e);
        sorted &= fp_str_cmp(before.name, e.name) < 0;
        indexed += e.index == i;
        before = e;
    }
    is_int(found, 3000, "all of 3,000 are found");
    ok(sorted && indexed == 3000, "and lie in the order of their names");
    fp_snap_unref(&s);
}

/* A copy of a sealed segment with one byte changed, sealed again. */
static int damaged(int fd, size_t at, uint8_t flip, size_t size)
{
    const void *map;
    size_t was;
    fp_memfd_map(fd, &map, &was);
    struct fp_memfd m;
    fp_memfd_create(&m, "damaged", size);
    memcpy(m.map, map, size < was ? size : was);
    if (at < size)
        ((uint8_t *)m.map)[at] ^= flip;
    fp_memfd_unmap(map, was);
    fp_memfd_seal(&m);
    struct fp_snap *s = NULL;
    int err = fp_snap_open_checked(m.fd, &s);
    if (s)
        fp_snap_unref(&s);
    close(m.fd);
    return err;
}

static void damage(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    add(b, FP_KIND_CLUSTER, "c1", "some bytes");
    add(b, FP_KIND_ROUTE, "r1", "other bytes");
    int fd = finish(&b);
    const void *map;
    size_t size;
    fp_memfd_map(fd, &map, &size);
    fp_memfd_unmap(map, size);

    size_t refused = 0;
    for (size_t i = 0; i < size; i++)
        refused += damaged(fd, i, 0x20, size) < 0;
    is_int((long)refused, (long)size, "a flipped bit is found wherever it is");
    is_int(damaged(fd, offsetof(struct fp_snap_header, major), 2, size), FP_ERR_VERSION,
           "another major version");
    is_int(damaged(fd, 0, 0, size - 8), FP_ERR_CORRUPT, "cut at the end");
    is_int(damaged(fd, 0, 0, 16), FP_ERR_CORRUPT, "cut in the header");
    close(fd);
    struct fp_memfd open_one;
    fp_memfd_create(&open_one, "unsealed", 4096);
    struct fp_snap *s = NULL;
    ok(fp_snap_open(open_one.fd, &s) < 0 && !s, "what is not sealed is not mapped");
    fp_memfd_abort(&open_one);
}

static void tokens(void)
{
    struct fp_str scopes[] = {FP_STR("clusters:read"), FP_STR("admin:all")}, scope;
    struct fp_snap_token in = {.id = FP_STR("id"),
                               .status = FP_TOKEN_REVOKED,
                               .expires_wall_ms = 5,
                               .name = FP_STR("ci"),
                               .scopes = scopes,
                               .scopes_n = 2},
                         out;
    struct fp_buf b = {0};
    fp_snap_token_encode(&b, &in);
    is_int(fp_snap_token_decode(fp_buf_str(&b), &out), 0, "a token record");
    ok(fp_str_eq_c(out.id, "id") && fp_str_eq_c(out.name, "ci") && out.expires_wall_ms == 5 &&
           out.status == FP_TOKEN_REVOKED,
       "comes back");
    size_t pos = 0;
    ok(fp_snap_token_scope(&out, &pos, &scope) && fp_str_eq_c(scope, "clusters:read"), "scope 1");
    ok(fp_snap_token_scope(&out, &pos, &scope) && fp_str_eq_c(scope, "admin:all"), "scope 2");
    ok(!fp_snap_token_scope(&out, &pos, &scope), "no more");
    size_t refused = 0;
    for (size_t n = 0; n < b.len; n++) {
        char *cut = malloc(n + 1); /* exactly as long, for the sanitizer */
        memcpy(cut, b.data, n);
        refused += fp_snap_token_decode(fp_str_n(cut, n), &out) == FP_ERR_CORRUPT;
        free(cut);
    }
    is_int((long)refused, (long)b.len, "every truncation is refused");
    fp_buf_fini(&b);
}

static void extracts(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    struct fp_ref refs[] = {{.kind = FP_KIND_CLUSTER, .name = FP_STR("c1")},
                            {.kind = FP_KIND_SECRET, .name = FP_STR("s")}};
    struct fp_snap_entry r = entry("r1", "route bytes"), e, f;
    r.refs = refs;
    r.refs_n = 2;
    fp_snap_builder_add(b, FP_KIND_ROUTE, &r);
    add(b, FP_KIND_ROUTE, "r2", "others");
    struct fp_snap *s = open_fd(finish(&b));
    fp_snap_find(s, FP_KIND_ROUTE, FP_STR("r1"), &e);
    struct fp_snap *one = fp_snap_extract(s, FP_KIND_ROUTE, &e, true);
    struct fp_snap *bare = fp_snap_extract(s, FP_KIND_ROUTE, &e, false);
    uint8_t hash[FP_SNAP_HASH_BYTES];
    memcpy(hash, e.hash, sizeof hash);
    fp_snap_unref(&s);
    ok(fp_snap_find(one, FP_KIND_ROUTE, FP_STR("r1"), &f), "an entry outlives its segment");
    ok(fp_str_eq_c(f.blob, "route bytes") && !memcmp(f.hash, hash, sizeof hash), "with its bytes");
    ok(!fp_snap_find(one, FP_KIND_ROUTE, FP_STR("r2"), &f), "alone");
    is_int(fp_snap_count(one, FP_KIND_CLUSTER), 0, "other kinds are empty");
    fp_snap_at(bare, FP_KIND_ROUTE, 0, &f);
    enum fp_kind kind;
    struct fp_str name;
    is_int(f.refs_n, 2, "with its references");
    fp_snap_ref_at(bare, &f, 1, &kind, &name);
    ok(kind == FP_KIND_SECRET && fp_str_eq_c(name, "s") && !f.blob.len, "or with nothing else");
    fp_snap_unref(&one);
    fp_snap_unref(&bare);
}

int main(void)
{
    extracts();
    round_trip();
    set_hashes();
    many();
    damage();
    tokens();
    return done_testing();
}
