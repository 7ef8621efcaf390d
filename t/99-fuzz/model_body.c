/*
 * Any JSON as a body of each kind (first byte: kind), as a stored row, and as a row to show:
 * refused with problems, or a resource whose response is accepted again and gives the same bytes.
 */
#include <stdint.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum fp_kind kinds[] = {FP_KIND_CLUSTER, FP_KIND_ROUTE, FP_KIND_LISTENER,
                                     FP_KIND_ENDPOINT};

static struct fp_model_row row_of(const struct fp_model_resource *m)
{
    return (struct fp_model_row){.id = FP_STR("i"),
                                 .name = m->name,
                                 .team = m->team,
                                 .source = FP_STR("native_api"),
                                 .form =
                                     m->form == FP_FORM_ENVOY ? FP_STR("envoy") : FP_STR("model"),
                                 .service_name = m->service_name,
                                 .created_at = FP_STR("t"),
                                 .updated_at = FP_STR("t"),
                                 .version = 1,
                                 .configuration = m->configuration};
}

static void again(struct fp_arena *a, const struct fp_model_options *o,
                  const struct fp_model_resource *m)
{
    struct fp_buf text = {0};
    struct fp_model_row row = row_of(m);
    struct fp_model_resource back = {0}, stored = {0};
    struct fp_problems *ps = fp_problems_new(a);
    fp_model_render(m->kind, &row, &text);
    const json_t *v = fp_json_parse(a, fp_buf_str(&text), 100, ps);
    FP_ASSERT(v);
    FP_ASSERT(fp_model_parse(m->kind, o, a, v, FP_STR_NULL, ps, &back) == 0);
    FP_ASSERT(fp_str_eq(back.configuration_text, m->configuration_text));
    FP_ASSERT(fp_str_eq(back.encoded, m->encoded));
    FP_ASSERT(fp_model_parse_stored(m->kind, o, a, m->name, m->service_name, row.form,
                                    m->configuration, ps, &stored) == 0);
    FP_ASSERT(fp_str_eq(stored.encoded, m->encoded));
    FP_ASSERT(stored.refs_n == m->refs_n);
    fp_buf_fini(&text);
}

static void show(enum fp_kind kind, const json_t *v, struct fp_str form)
{
    struct fp_buf text = {0};
    struct fp_model_row row = {.id = FP_STR("i"), .name = FP_STR("n"), .form = form};
    row.configuration = v;
    fp_model_render(kind, &row, &text);
    fp_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fp_pb_pool *pool;
    if (!pool) {
        fp_json_init();
        FP_ASSERT(fp_pb_pool_builtin(&pool) == 0);
    }
    if (size < 1)
        return 0;
    enum fp_kind kind = kinds[data[0] % 4];
    struct fp_model_options o = {.pool = pool, .allow_privileged_ports = true};
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_model_resource m = {0};
    const json_t *v = fp_json_parse(a, fp_str_n(data + 1, size - 1), 64, ps);
    if (v) {
        int rc = fp_model_parse(kind, &o, a, v, FP_STR_NULL, ps, &m);
        FP_ASSERT((rc == 0) == (ps->total == 0));
        if (rc == 0)
            again(a, &o, &m);
        show(kind, v, FP_STR("model"));
        show(kind, v, FP_STR("envoy"));
        ps = fp_problems_new(a);
        (void)fp_model_parse_stored(kind, &o, a, FP_STR("n"), FP_STR("s"), FP_STR("model"), v, ps,
                                    &m);
        ps = fp_problems_new(a);
        (void)fp_model_parse_stored(kind, &o, a, FP_STR("n"), FP_STR("s"), FP_STR("envoy"), v, ps,
                                    &m);
    }
    fp_arena_free(&a);
    return 0;
}
