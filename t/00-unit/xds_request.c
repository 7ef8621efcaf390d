/* Requests off the wire: what is kept, what is refused, and how streams end (T-4, T-9, I-*, E-*).
 */
#include "xds_fake.h"

/* A node as Envoy 1.40 sends it: 516 extensions, about 60 kB. */
static void put_node(struct fp_buf *out, size_t extensions)
{
    struct fp_buf n = {0}, sub = {0}, version = {0};
    char text[64];
    fp_xds_wire_bytes(&n, 1, FP_STR("node-1"));
    fp_xds_wire_bytes(&n, 2, FP_STR("edge"));
    fp_xds_wire_bytes(&n, 3, FP_STR("metadata bytes"));
    fp_xds_wire_bytes(&n, 4,
                      FP_STR("\x0a\x02"
                             "eu"));
    fp_xds_wire_bytes(&n, 6, FP_STR("envoy"));
    fp_xds_wire_uint(&version, 1, 1);
    fp_xds_wire_uint(&version, 2, 40);
    fp_xds_wire_bytes(&sub, 1, fp_buf_str(&version));
    fp_xds_wire_bytes(&n, 8, fp_buf_str(&sub));
    for (size_t i = 0; i < extensions; i++) {
        fp_buf_clear(&sub);
        snprintf(text, sizeof text, "envoy.filters.http.some_filter_%zu", i);
        fp_xds_wire_bytes(&sub, 1, fp_str_of(text));
        fp_xds_wire_bytes(&sub, 2, FP_STR("envoy.filters.http"));
        fp_xds_wire_bytes(&sub, 5,
                          FP_STR("envoy.extensions.filters.http.some.v3.SomeFilterConfig"));
        fp_xds_wire_bytes(&n, 9, fp_buf_str(&sub));
    }
    fp_xds_wire_bytes(&n, 10, FP_STR("feature.a"));
    fp_xds_wire_bytes(&n, 10, FP_STR("feature.b"));
    fp_xds_wire_bytes(out, 2, fp_buf_str(&n));
    fp_buf_fini(&n);
    fp_buf_fini(&sub);
    fp_buf_fini(&version);
}

static void nodes(void)
{
    struct fp_buf b = {0};
    put_node(&b, 516);
    struct fp_xds_request r;
    struct fp_xds_node *n = NULL;
    is_int(fp_xds_request_parse(fp_buf_str(&b), &r), 0, "a request with a heavy node");
    ok(r.node.len > 50000, "I-6: %zu bytes", r.node.len);
    is_int(fp_xds_node_parse(r.node, FP_STR_NULL, &n), 0, "the node");
    ok(fp_str_eq_c(n->id, "node-1") && fp_str_eq_c(n->cluster, "edge"), "id and cluster");
    ok(fp_str_eq_c(n->user_agent, "envoy") && fp_str_eq_c(n->user_agent_version, "1.40.0"),
       "user agent and version");
    ok(fp_str_eq_c(n->metadata, "metadata bytes") && n->locality.len == 4, "metadata, locality");
    ok(fp_str_eq(n->features, FP_STR("feature.a\0feature.b\0")), "I-8: client features");
    size_t kept = n->id.len + n->cluster.len + n->user_agent.len + n->user_agent_version.len +
                  n->metadata.len + n->locality.len + n->features.len;
    ok(kept < 200, "I-6: %zu bytes are kept of it", kept);
    fp_mem_free(n);

    int refused = 0, taken = 0;
    for (size_t i = 0; i < b.len; i++) { /* each truncation, exactly as long */
        char *cut = malloc(i ? i : 1);
        memcpy(cut, b.data, i);
        int err = fp_xds_request_parse(fp_str_n(cut, i), &r);
        refused += err == FP_ERR_PROTOCOL;
        taken += err == 0;
        free(cut);
    }
    is_int(refused, (long)b.len - 1, "E-2: truncated anywhere, refused");
    is_int(taken, 1, "but for the empty message");
    fp_buf_fini(&b);

    struct fp_buf big = {0};
    char *metadata = calloc(1, FP_XDS_NODE_MAX_BYTES + 1);
    fp_xds_wire_bytes(&big, 1, FP_STR("n"));
    fp_xds_wire_bytes(&big, 3, fp_str_n(metadata, FP_XDS_NODE_MAX_BYTES + 1));
    is_int(fp_xds_node_parse(fp_buf_str(&big), FP_STR_NULL, &n), FP_ERR_LIMIT,
           "E-3: metadata beyond the limit");
    free(metadata);
    fp_buf_fini(&big);
}

/* A message as it stands, on a stream of its own: the status it ends with, -1 when it lives. */
static int fate(struct world *w, struct fp_str message, const char *what)
{
    struct fp_grpc_call *c = dial(w, NULL);
    deliver(c, message);
    turn(w);
    int status = c->status;
    if (status > 0)
        ok(*c->message, "%s: the message says why: %s", what, c->message);
    deliver(c, message); /* what comes after the end is ignored */
    turn(w);
    hang_up(&c);
    return status;
}

static void ends(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1");
    struct fp_buf b = {0}, n = {0};
    is_int(fate(w,
                FP_STR("\x0a\x05"
                       "abc"),
                "garbage"),
           FP_GRPC_INVALID_ARGUMENT, "E-2");
    is_int(fate(w, FP_STR("\x0b"), "a group"), FP_GRPC_INVALID_ARGUMENT, "E-2: groups");
    is_int(fate(w, FP_STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "a long varint"),
           FP_GRPC_INVALID_ARGUMENT, "E-2: varints");
    is_int(fate(w, FP_STR(""), "an empty message"), FP_GRPC_INVALID_ARGUMENT, "I-4: no node");

    fp_xds_wire_bytes(&n, 2, FP_STR("cluster only"));
    fp_xds_wire_bytes(&b, 2, fp_buf_str(&n));
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[FP_KIND_CLUSTER].type_url));
    is_int(fate(w, fp_buf_str(&b), "no id"), FP_GRPC_INVALID_ARGUMENT, "I-4: empty node.id");

    fp_buf_clear(&b);
    put_node(&b, 1);
    is_int(fate(w, fp_buf_str(&b), "no type"), FP_GRPC_INVALID_ARGUMENT, "T-4: empty type_url");
    fp_xds_wire_bytes(&b, 4, FP_STR("type.googleapis.com/some.Other"));
    is_int(fate(w, fp_buf_str(&b), "unknown type"), -1, "E-1: an unknown type, the stream lives");
    ok(w->engine->counters.unknown_types > 0, "E-1: and is counted");

    fp_buf_clear(&b);
    put_node(&b, 1);
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[FP_KIND_ROUTE].type_url));
    fp_xds_wire_bytes(&b, 3, FP_STR("\xff"));
    is_int(fate(w, fp_buf_str(&b), "a name in no UTF-8"), FP_GRPC_INVALID_ARGUMENT, "E-2");

    fp_buf_clear(&b);
    put_node(&b, 1);
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[FP_KIND_ROUTE].type_url));
    for (uint32_t i = 0; i <= FP_XDS_NAMES_MAX; i++)
        fp_xds_wire_bytes(&b, 3, FP_STR("n"));
    is_int(fate(w, fp_buf_str(&b), "too many names"), FP_GRPC_RESOURCE_EXHAUSTED, "E-3");

    fp_buf_clear(&b);
    put_node(&b, 1);
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[FP_KIND_CLUSTER].type_url));
    fp_xds_wire_bytes(&b, 7, FP_STR("\x0a\x01x"));
    struct fp_grpc_call *c = dial(w, NULL);
    deliver(c, fp_buf_str(&b));
    turn(w);
    is_str(got(c), "CDS[a]", "E-4: resource_locators are ignored, I-1: the node is taken");
    uint64_t before = w->engine->counters.nodes_repeated;
    deliver(c, fp_buf_str(&b));
    is_int((long)(w->engine->counters.nodes_repeated - before), 1,
           "I-3, I-7: a node again is counted only");
    say(c, 'R', "r", "", "", NULL);
    say(c, 'L', "", "", "", NULL);
    c->method->on_half_close(c, c->user);
    is_int(c->status, FP_GRPC_OK, "T-9: half-close ends the stream with OK");
    is_str(got(c), "LDS[]", "T-9: after what it asked for in the same breath");
    hang_up(&c);

    c = dial(w, NULL);
    c->subject = "CN=edge-1";
    fp_buf_clear(&b);
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[FP_KIND_CLUSTER].type_url));
    deliver(c, fp_buf_str(&b));
    turn(w);
    is_str(got(c), "CDS[a]", "I-4: a client certificate is an identity");
    ok(fp_str_eq_c(((struct fp_xds_stream *)c->user)->node->id, "CN=edge-1"), "and names the node");
    hang_up(&c);
    fp_buf_fini(&b);
    fp_buf_fini(&n);
    world_close(&w);
}

int main(void)
{
    nodes();
    ends();
    return done_testing();
}
