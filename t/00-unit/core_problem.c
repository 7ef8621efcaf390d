/* core_problem and core_kind: collected mistakes (contract §2.4), pointers, the kinds (§1). */
#include "../lib/tap.h"
#include "core/core_kind.c"
#include "core/core_problem.c"

static void problems(struct fp_arena *a)
{
    static const char *const known[] = {"name", "lbPolicy", "endpoints"};
    struct fp_problems *ps = fp_problems_new(a);
    char pointer[] = "/endpoints/1/port";
    fp_problem_add(ps, pointer, FP_P_OUT_OF_RANGE, "must be between %d and %d", 1, 65535);
    pointer[1] = 'X';
    is_str(ps->items[0].pointer, "/endpoints/1/port", "the pointer is copied");
    is_str(ps->items[0].message, "must be between 1 and 65535", "message");
    is_str(fp_problem_code_name(ps->items[0].code), "out_of_range", "code");
    fp_problem_add_unknown(ps, "/lbPolicyy", FP_STR("lbPolicyy"), known, 3);
    is_str(ps->items[1].message, "unknown field; did you mean lbPolicy?", "contract §2.4 example");
    fp_problem_add_unknown(ps, "/zzz", FP_STR("zzz"), known, 3);
    is_str(ps->items[2].message, "unknown field", "no name is near");
    fp_problem_add_unknown(ps, "/x", FP_STR("x"), known, 0);
    is_str(ps->items[3].message, "unknown field", "no name at all");
    fp_problem_add_parameter(ps, "limit", FP_P_INVALID_TYPE, "no number");
    ok(!ps->items[4].pointer && strcmp(ps->items[4].parameter, "limit") == 0, "parameter");
    for (int i = 0; i < 200; i++)
        fp_problem_add(ps, "", FP_P_REQUIRED, "%d", i);
    is_int(ps->n, 100, "§2.4: at most 100 are kept");
    is_int(ps->total, 205, "the rest is counted");
    bool named = true;
    for (int c = 0; c < FP_P_CODE_N; c++)
        named &= fp_problem_code_name((enum fp_problem_code)c) != NULL;
    ok(named, "every code has a name");
}

static void pointers(struct fp_arena *a)
{
    is_str(fp_pointer_push(a, "", FP_STR("a")), "/a", "push onto the root");
    is_str(fp_pointer_push(a, "/a", FP_STR("b/c~d")), "/a/b~1c~0d", "RFC 6901 escapes");
    is_str(fp_pointer_push(a, "/a", FP_STR("")), "/a/", "the empty key");
    is_str(fp_pointer_push_index(a, "/a", 12), "/a/12", "an index");
}

static void kinds(void)
{
    bool complete = true, back = true;
    for (int k = 0; k < FP_KIND_N; k++) {
        const struct fp_kind_info *i = &fp_kinds[k];
        complete &= i->name && i->title && i->path && i->table && !i->message == !i->type_url &&
                    !i->message == !i->xds;
        back &= fp_kind_by_name(fp_str_of(i->name)) == (enum fp_kind)k &&
                fp_kind_by_path(fp_str_of(i->path)) == (enum fp_kind)k &&
                (!i->type_url || fp_kind_by_type_url(fp_str_of(i->type_url)) == (enum fp_kind)k);
    }
    ok(complete, "every kind has its columns");
    ok(back, "every column leads back to its kind");
    is_int(fp_kind_by_name(FP_STR("")), FP_KIND_N, "unknown name");
    is_int(fp_kind_by_type_url(FP_STR("envoy.config.cluster.v3.Cluster")), FP_KIND_N,
           "a type URL has its prefix");
    is_str(fp_kinds[FP_KIND_SECRET].type_url,
           "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "§9.1: SDS");
}

int main(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    problems(a);
    pointers(a);
    kinds();
    fp_arena_free(&a);
    return done_testing();
}
