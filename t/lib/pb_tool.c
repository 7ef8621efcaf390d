/*
 * The transcoder as a filter, for tests in other languages: a request a line, an answer a line.
 * `E type json` → `ok hex` or `no [[pointer, code, message], …]`; `D type hex` → `ok json` or `no
 * …`; `T type json count` → `ok nanoseconds-per-encoding bytes`.  Arguments: `-n` without validate
 * rules; a descriptor set's file, else the built-in one.  Tests only.
 */
#include <stdio.h>
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_clock.h"
#include "pb/pb_json.h"
#include "pb_norules.h"

static void say_problems(const struct fp_problems *ps)
{
    struct fp_buf b = {0};
    fp_buf_append_c(&b, "no [");
    for (size_t i = 0; i < ps->n; i++) {
        const char *parts[] = {ps->items[i].pointer, fp_problem_code_name(ps->items[i].code),
                               ps->items[i].message};
        for (size_t k = 0; k < 3; k++) {
            fp_buf_append_c(&b, k ? "," : i ? ",[" : "[");
            fp_buf_append_json(&b, fp_str_of(parts[k] ? parts[k] : ""));
        }
        fp_buf_append_c(&b, "]");
    }
    fp_buf_append_c(&b, "]");
    puts(fp_buf_cstr(&b));
    fp_buf_fini(&b);
}

static void encode(const struct fp_pb_pool *pool, const struct fp_pb_message *m, struct fp_arena *a,
                   struct fp_str text, uint64_t rounds)
{
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_buf out = {0};
    json_t *v = fp_json_parse(a, text, 100, ps);
    if (!v || fp_pb_from_json(pool, m, v, "", ps, &out) != 0) {
        say_problems(ps);
    } else if (rounds == 0) {
        char *hex = fp_arena_alloc(a, 2 * out.len + 1);
        fp_hex(hex, out.data, out.len);
        printf("ok %s\n", hex);
    } else {
        uint64_t start = fp_clock_mono_ns();
        for (uint64_t i = 0; i < rounds; i++) {
            fp_buf_clear(&out);
            fp_pb_from_json(pool, m, v, "", ps, &out);
        }
        printf("ok %llu %zu\n", (unsigned long long)((fp_clock_mono_ns() - start) / rounds),
               out.len);
    }
    fp_buf_fini(&out);
}

static void decode(const struct fp_pb_pool *pool, const struct fp_pb_message *m, struct fp_arena *a,
                   struct fp_str hex)
{
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_buf out = {0};
    char *bytes = fp_arena_alloc(a, hex.len / 2 + 1);
    json_t *v =
        fp_unhex(bytes, hex) ? fp_pb_to_json(pool, m, fp_str_n(bytes, hex.len / 2), ps) : NULL;
    if (v) {
        fp_json_write(&out, v, false);
        printf("ok %s\n", fp_buf_cstr(&out));
    } else {
        say_problems(ps);
    }
    json_decref(v);
    fp_buf_fini(&out);
}

static bool serve(const struct fp_pb_pool *pool, char *line, size_t len)
{
    struct fp_str rest, type;
    struct fp_str verb = fp_str_split(fp_str_n(line, len), ' ', &rest);
    type = fp_str_split(rest, ' ', &rest);
    uint64_t rounds = 0;
    if (fp_str_eq_c(verb, "T"))
        fp_str_to_u64(fp_str_split(rest, ' ', &rest), &rounds);
    const struct fp_pb_message *m = fp_pb_pool_message(pool, type);
    struct fp_arena *a = fp_arena_new(NULL);
    if (!m)
        puts("no [[\"\",\"unsupported\",\"no such message\"]]");
    else if (fp_str_eq_c(verb, "D"))
        decode(pool, m, a, rest);
    else
        encode(pool, m, a, rest, rounds);
    fp_arena_free(&a);
    return fflush(stdout) == 0;
}

static struct fp_pb_pool *open_file(const char *path)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_buf set = {0};
    struct fp_pb_pool *pool = NULL;
    const char *why = "cannot be read";
    FILE *f = fopen(path, "rb");
    char chunk[65536];
    for (size_t n; f && (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        fp_buf_append(&set, chunk, n);
    if (!f || fp_pb_pool_open(&pool, fp_buf_str(&set), a, &why) != 0) {
        fprintf(stderr, "%s: %s\n", path, why);
        exit(1);
    }
    fclose(f);
    fp_buf_fini(&set);
    fp_arena_free(&a);
    return pool;
}

int main(int argc, char **argv)
{
    struct fp_pb_pool *pool;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    fp_json_init();
    bool rules = argc < 2 || strcmp(argv[1], "-n") != 0;
    argv += rules ? 1 : 2;
    if (*argv)
        pool = open_file(*argv);
    else
        fp_pb_pool_builtin(&pool);
    if (!rules)
        forget_rules(pool);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        size_t len = (size_t)n - (line[n - 1] == '\n');
        if (!serve(pool, line, len))
            break;
    }
    free(line);
    fp_pb_pool_free(&pool);
    return 0;
}
