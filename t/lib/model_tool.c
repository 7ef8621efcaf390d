/*
 * The model room as a filter, for tests in other languages: a request a line, an answer a line.
 * `P kind path_name|- body` parses as REST does, `S kind form name service|- configuration` as the
 * watcher does.  The answer is one JSON object: {"ok": true, …} with the stored configuration, the
 * Envoy JSON of every element, references, warnings, summary, hash and the response, or
 * {"ok": false, "problems": [[pointer, code, message], …]}.  Tests only.
 */
#include <stdio.h>
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "model/model.h"
#include "pb/pb_json.h"

static const struct fp_pb_pool *pool;

static json_t *text(struct fp_str s)
{
    return s.data ? json_stringn(s.data, s.len) : json_null();
}

static json_t *problems(const struct fp_problems *ps)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ps->n; i++)
        json_array_append_new(list, json_pack("[s?, s, s]", ps->items[i].pointer,
                                              fp_problem_code_name(ps->items[i].code),
                                              ps->items[i].message));
    return json_pack("{s:b, s:o}", "ok", 0, "problems", list);
}

static json_t *elements(struct fp_arena *a, struct fp_str encoded)
{
    json_t *list = json_array();
    struct fp_str element, url, value;
    while (fp_pb_element_next(&encoded, &element, &url, &value) == 0) {
        struct fp_str name =
            fp_str_n(url.data + strlen(FP_TYPE_URL_PREFIX), url.len - strlen(FP_TYPE_URL_PREFIX));
        json_array_append_new(
            list, fp_pb_to_json(pool, fp_pb_pool_message(pool, name), value, fp_problems_new(a)));
    }
    return list;
}

static json_t *rendered(struct fp_arena *a, const struct fp_model_resource *m)
{
    struct fp_buf b = {0};
    struct fp_model_row row = {
        .id = FP_STR("11111111-2222-4333-8444-555555555555"),
        .name = m->name,
        .team = m->team,
        .source = FP_STR("native_api"),
        .form = m->form == FP_FORM_ENVOY ? FP_STR("envoy") : FP_STR("model"),
        .service_name = m->service_name,
        .created_at = FP_STR("2030-01-01T00:00:00Z"),
        .updated_at = FP_STR("2030-01-01T00:00:00Z"),
        .version = 1,
        .configuration = m->configuration,
    };
    fp_model_render(m->kind, &row, &b);
    json_t *v = fp_json_parse(a, fp_buf_str(&b), 100, fp_problems_new(a));
    fp_buf_fini(&b);
    return v ? json_incref(v) : json_null();
}

static json_t *answer(struct fp_arena *a, const struct fp_model_resource *m)
{
    char hash[2 * 32 + 1];
    fp_hex(hash, m->content_hash, sizeof(m->content_hash));
    json_t *refs = json_array(), *warnings = json_array();
    for (size_t i = 0; i < m->refs_n; i++)
        json_array_append_new(refs, json_pack("[s, o, s?]", fp_kinds[m->refs[i].kind].name,
                                              text(m->refs[i].name), m->refs[i].pointer));
    for (size_t i = 0; i < m->warnings_n; i++)
        json_array_append_new(warnings, json_pack("[s, s, s]", m->warnings[i].code,
                                                  m->warnings[i].pointer, m->warnings[i].message));
    json_t *summary =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:i}", "service_name", text(m->service_name),
                  "path_prefix", text(m->path_prefix), "cluster_name", text(m->cluster_name),
                  "address", text(m->address), "protocol", text(m->protocol), "port", m->port);
    return json_pack(
        "{s:b, s:o, s:o, s:s, s:O, s:o, s:o, s:o, s:o, s:s, s:o}", "ok", 1, "name", text(m->name),
        "team", text(m->team), "form", m->form == FP_FORM_ENVOY ? "envoy" : "model",
        "configuration", m->configuration, "elements", elements(a, m->encoded), "refs", refs,
        "warnings", warnings, "summary", summary, "hash", hash, "response", rendered(a, m));
}

static struct fp_str word(struct fp_str *line)
{
    return fp_str_split(*line, ' ', line);
}

static struct fp_str optional(struct fp_str s)
{
    return fp_str_eq_c(s, "-") ? FP_STR_NULL : s;
}

static void serve(struct fp_str line)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_model_options o = {.pool = pool,
                                 .allow_privileged_ports = getenv("ALLOW_PRIVILEGED") != NULL};
    struct fp_model_resource m = {0};
    struct fp_str verb = word(&line), form = FP_STR_NULL, service = FP_STR_NULL;
    enum fp_kind kind = fp_kind_by_name(word(&line));
    if (fp_str_eq_c(verb, "S"))
        form = word(&line);
    struct fp_str name = optional(word(&line));
    if (form.data)
        service = optional(word(&line));
    json_t *body = fp_json_parse(a, line, 64, ps), *out;
    int rc = -1;
    if (body && form.data)
        rc = fp_model_parse_stored(kind, &o, a, name, service, form, body, ps, &m);
    else if (body)
        rc = fp_model_parse(kind, &o, a, body, name, ps, &m);
    out = rc == 0 ? answer(a, &m) : problems(ps);
    struct fp_buf b = {0};
    fp_json_write(&b, out, true);
    puts(fp_buf_cstr(&b));
    fflush(stdout);
    fp_buf_fini(&b);
    json_decref(out);
    fp_arena_free(&a);
}

int main(void)
{
    static char line[8 << 20];
    struct fp_pb_pool *opened;
    fp_json_init();
    if (fp_pb_pool_builtin(&opened) != 0)
        return 2;
    pool = opened;
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        serve(fp_str_of(line));
    }
    fp_pb_pool_free(&opened);
    return 0;
}
