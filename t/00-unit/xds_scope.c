/* Scopes of nodes and what is reached from them (contract §9.4, P13, I-9). */
#include "xds_fake.h"
#include "pb/pb_guard.h"
#include "xds/xds_scope_int.h"

/* ---- node.metadata ---- */

static void value_string(struct fp_buf *out, const char *s)
{
    fp_xds_wire_bytes(out, 3, fp_str_of(s));
}

static void field(struct fp_buf *meta, const char *key, struct fp_buf *value)
{
    struct fp_buf entry = {0};
    fp_xds_wire_bytes(&entry, 1, fp_str_of(key));
    fp_xds_wire_bytes(&entry, 2, fp_buf_str(value));
    fp_xds_wire_bytes(meta, 1, fp_buf_str(&entry));
    fp_buf_fini(&entry);
    fp_buf_fini(value);
}

static void put_team(struct fp_buf *meta, const char *team)
{
    struct fp_buf v = {0};
    value_string(&v, team);
    field(meta, "team", &v);
}

static void put_default(struct fp_buf *meta, bool on)
{
    struct fp_buf v = {0};
    fp_xds_wire_uint(&v, 4, on);
    field(meta, "include_default", &v);
}

/* "l1 l2"; "#" is a number */
static void put_allowlist(struct fp_buf *meta, const char *names)
{
    struct fp_buf v = {0}, list = {0};
    char *copy = strdup(names), *save = NULL;
    for (char *n = strtok_r(copy, " ", &save); n; n = strtok_r(NULL, " ", &save)) {
        struct fp_buf item = {0};
        if (*n == '#')
            fp_xds_wire_uint(&item, 4, 1);
        else
            value_string(&item, n);
        fp_xds_wire_bytes(&list, 1, fp_buf_str(&item));
        fp_buf_fini(&item);
    }
    free(copy);
    fp_xds_wire_bytes(&v, 6, fp_buf_str(&list));
    fp_buf_fini(&list);
    field(meta, "listener_allowlist", &v);
}

static const char *describe(struct fp_buf *meta, const char *certificate)
{
    static char text[256];
    static const char *const kinds[] = {"all", "team", "allowlist"};
    struct fp_xds_scopes pool = {0};
    struct fp_arena *a = fp_arena_new(NULL);
    const Google__Protobuf__Struct *said =
        fp_pb_unpack(&google__protobuf__struct__descriptor, fp_buf_str(meta), 1000, a);
    fp_buf_fini(meta);
    if (!said) {
        fp_arena_free(&a);
        return "malformed";
    }
    struct fp_xds_scope *s = fp_xds_scope_of(&pool, said, fp_str_of(certificate)),
                        *again = fp_xds_scope_of(&pool, said, fp_str_of(certificate));
    int n = snprintf(text, sizeof text, "%s team=%.*s%s%s", kinds[s->kind], FP_STR_ARG(s->team),
                     s->bound ? " bound" : "", s->include_default ? " default" : "");
    for (uint32_t i = 0; i < s->listeners_n; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %.*s", FP_STR_ARG(s->listeners[i]));
    if (again != s)
        abort(); /* equal scopes are equal pointers */
    fp_xds_scope_unref(&s);
    fp_xds_scope_unref(&again);
    fp_xds_scopes_fini(&pool);
    fp_arena_free(&a);
    return text;
}

static void what_nodes_say(void)
{
    struct fp_buf m = {0};
    is_str(describe(&m, NULL), "all team=", "no metadata: scope all");
    put_team(&m, "pay");
    is_str(describe(&m, NULL), "team team=pay", "a team");
    put_team(&m, "pay"), put_default(&m, true);
    is_str(describe(&m, NULL), "team team=pay default", "and the default listener");
    put_team(&m, ""), put_default(&m, true);
    is_str(describe(&m, NULL),
           "all team=", "an empty team is none, and the flag alone does nothing");
    put_allowlist(&m, "l2 l1 l2");
    is_str(describe(&m, NULL), "allowlist team= l1 l2",
           "an allow-list, order and repetition without meaning");
    put_team(&m, "pay"), put_allowlist(&m, "l1");
    is_str(describe(&m, NULL), "allowlist team=pay l1", "wins over the team");
    put_allowlist(&m, "");
    is_str(describe(&m, NULL), "all team=", "an empty one is none");
    put_allowlist(&m, "# l1");
    is_str(describe(&m, NULL), "allowlist team= l1", "what is no string is passed over");
    put_team(&m, "pay");
    is_str(describe(&m, "ops"), "team team=ops bound", "I-9: the certificate's team replaces it");
    put_allowlist(&m, "l1");
    is_str(describe(&m, "ops"), "allowlist team=ops bound l1", "and binds an allow-list");
    is_str(describe(&m, "ops"), "team team=ops bound", "and holds without metadata");
    fp_buf_append_c(&m, "\x0a\x05\x0a");
    is_str(describe(&m, NULL), "malformed", "E-2");
}

static void what_certificates_say(void)
{
    static const struct {
        const char *pattern, *sans, *team;
    } cases[] = {
        {"spiffe://d/team/{team}/proxy", "URI:spiffe://d/team/pay/proxy", "pay"},
        {"spiffe://d/team/{team}/proxy", "DNS:x\nURI:spiffe://d/team/pay/proxy", "pay"},
        {"{team}.mesh.test", "DNS:pay.mesh.test", "pay"},
        {"{team}", "DNS:pay", "pay"},
        {"spiffe://d/team/{team}", "URI:spiffe://d/team/pay/proxy", NULL},
        {"spiffe://d/team/{team}/proxy", "URI:spiffe://d/team/a/b/proxy", NULL},
        {"spiffe://d/team/{team}/proxy", "URI:spiffe://d/team//proxy", NULL},
        {"spiffe://d/team/{team}/proxy", "URI:spiffe://d/team/proxy", NULL},
        {"spiffe://d/team/{team}/proxy", "URI:xspiffe://d/team/pay/proxy", NULL},
        {"{team}.mesh.test", "DNS:a.b.mesh.test", NULL},
        {"{team}.mesh.test", "DNS:.mesh.test", NULL},
        {"no placeholder", "DNS:no placeholder", NULL},
        {NULL, "DNS:pay", NULL},
        {"{team}", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got_team[64] = "-";
        struct fp_str t = fp_xds_scope_san_team(cases[i].pattern, fp_str_of(cases[i].sans));
        if (t.data)
            snprintf(got_team, sizeof got_team, "%.*s", FP_STR_ARG(t));
        is_str(got_team, cases[i].team ? cases[i].team : "-", "pattern %s, case %zu",
               cases[i].pattern ? cases[i].pattern : "(none)", i);
    }
}

/* ---- on streams ---- */

#define PAY   "L@pay/l1=1>R/r1 R/r1=1>C/c1 C/c1=1>E/c1>S/s1 E/c1=1 S/s1=1 T@pay/t1=1 "
#define OPS   "L@ops/l2=1>R/r2 R/r2=1>C/c2 C/c2=1>E/c2 E/c2=1 T@ops/t2=1 "
#define NOONE "L/default-gateway-listener=1>R/r0 R/r0=1>C/c0 C/c0=1 T/t0=1 C/lonely=1 "

static struct fp_grpc_call *dial_as(struct world *w, struct fp_buf *meta)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    c->metadata = fp_str_n(fp_mem_dup(meta->data, meta->len), meta->len);
    fp_buf_fini(meta);
    return c;
}

static void leave(struct fp_grpc_call **c)
{
    fp_mem_free((void *)(*c)->metadata.data);
    hang_up(c);
}

static struct fp_grpc_call *dial_team(struct world *w, const char *team)
{
    struct fp_buf m = {0};
    put_team(&m, team);
    return dial_as(w, &m);
}

static const char *all_of(struct fp_grpc_call *c)
{
    ask(c, 'C', "");
    ask(c, 'E', "c0 c1 c2");
    ack(c, 'C'), ack(c, 'E');
    ask(c, 'L', "");
    ask(c, 'R', "r0 r1 r2");
    ask(c, 'S', "s1");
    ask(c, 'T', "t0 t1 t2");
    ack(c, 'L'), ack(c, 'R'), ack(c, 'S'), ack(c, 'T');
    return got(c);
}

static void first_answers(void)
{
    struct world *w = world_open(NULL);
    struct fp_buf m = {0};
    publish(w, PAY OPS NOONE);
    struct fp_grpc_call *c = dial_team(w, "pay"), *d = dial_team(w, "ops"), *e = dial_team(w, "x");
    is_str(all_of(c), "CDS[c1] EDS[c1] LDS[l1] RDS[r1] SDS[s1] RTDS[t0 t1]",
           "P13: a team's listeners and what is reached from them; E-6: the rest is missing");
    is_str(all_of(d), "CDS[c2] EDS[c2] LDS[l2] RDS[r2] RTDS[t0 t2]", "another team");
    is_str(all_of(e), "CDS[] LDS[] RTDS[t0]", "O-12: a team without listeners gets empty sets");
    ok(strcmp(c->last[FP_KIND_CLUSTER].version, d->last[FP_KIND_CLUSTER].version) != 0,
       "versions are those of what the node may see");
    struct fp_grpc_call *same = dial_team(w, "pay");
    all_of(same);
    is_str(same->last[FP_KIND_CLUSTER].version, c->last[FP_KIND_CLUSTER].version,
           "S-17: one scope, one version");
    leave(&same), leave(&d), leave(&e);

    put_team(&m, "pay"), put_default(&m, true);
    d = dial_as(w, &m);
    is_str(all_of(d),
           "CDS[c0 c1] EDS[c1] LDS[default-gateway-listener l1] RDS[r0 r1] SDS[s1] RTDS[t0 t1]",
           "include_default");
    leave(&d);
    put_allowlist(&m, "l2 default-gateway-listener l9");
    d = dial_as(w, &m);
    is_str(all_of(d), "CDS[c0 c2] EDS[c2] LDS[default-gateway-listener l2] RDS[r0 r2] RTDS[t0]",
           "an allow-list");
    leave(&d);
    d = dial(w, "envoy");
    is_str(
        all_of(d),
        "CDS[c0 c1 c2 lonely] EDS[c1 c2] LDS[default-gateway-listener l1 l2] RDS[r0 r1 r2] SDS[s1] "
        "RTDS[t0 t1 t2]",
        "scope all: every resource");
    hang_up(&d);
    leave(&c);
    world_close(&w);
}

static void same_versions_whatever_the_scope(void)
{
    struct world *w = world_open(NULL);
    struct fp_buf m = {0};
    publish(w, PAY);
    put_allowlist(&m, "l1");
    struct fp_grpc_call *c = dial_team(w, "pay"), *d = dial(w, "envoy"), *e = dial_as(w, &m);
    all_of(c), all_of(d), all_of(e);
    is_str(c->last[FP_KIND_CLUSTER].version, d->last[FP_KIND_CLUSTER].version,
           "§9.2: a version is a function of content alone: team and all");
    is_str(c->last[FP_KIND_CLUSTER].version, e->last[FP_KIND_CLUSTER].version, "and allow-list");
    leave(&c), hang_up(&d), leave(&e);
    world_close(&w);
}

static void pushes(void)
{
    struct world *w = world_open(NULL);
    publish(w, PAY OPS);
    struct fp_grpc_call *c = dial_team(w, "pay");
    all_of(c);
    publish(w, PAY "L@ops/l2=2>R/r2 R/r2=2>C/c2 C/c2=2>E/c2 E/c2=2 T@ops/t2=2");
    is_str(got(c), "", "P13: changes outside the scope are not sent");
    publish(w, PAY "L@ops/l2=2>R/r2 R/r2=2>C/c2 C/c2=2>E/c2 E/c2=2 L@pay/l3=1>R/r2");
    is_str(got(c), "CDS[c1 c2] EDS[c2] LDS[l1 l3]", "what comes into reach is an addition");
    ack(c, 'C'), ack(c, 'E');
    is_str(got(c), "RDS[r2]", "O-7: in order");
    ack(c, 'L'), ack(c, 'R');
    publish(w, PAY "L@ops/l2=2>R/r2 R/r2=2>C/c2 C/c2=2>E/c2 E/c2=2 L@ops/l3=1>R/r2");
    is_str(got(c), "LDS[l1]",
           "P13: a listener that changes hands leaves, its cluster is held (O-9)");
    ack(c, 'L');
    ask(c, 'R', "r1");
    is_str(got(c), "CDS[c1]", "leaving scope is a removal");
    ack(c, 'C');
    publish(w, "L@pay/l1=1>R/r1 R/r1=2>C/c9 C/c9=1 C/c1=1>E/c1 E/c1=1");
    is_str(got(c), "CDS[c9 c1]", "a cluster no route names any more leaves the scope");
    ack(c, 'C');
    is_str(got(c), "RDS[r1]", "behind the new route");
    ack(c, 'R');
    is_str(got(c), "CDS[c9]", "and is removed");
    leave(&c);
    world_close(&w);
}

static void further_kinds(void)
{
    struct world *w = world_open(NULL);
    publish(w, "L@pay/l1=1>O/o1>X/x1>C/c3 O/o1=1>R/r/1 R/r/1=1 V/r/1/host=1>C/c4 V/r2/host=1>C/c5 "
               "X/x1=1 X/x2=1 C/c3=1>C/c6 C/c4=1 C/c5=1 C/c6=1>C/c3 L@ops/l2=1 R/r2=1");
    struct fp_grpc_call *c = dial_team(w, "pay");
    ask(c, 'C', "");
    is_str(got(c), "CDS[c3 c4 c6]", "aggregate clusters (in a circle) and those of virtual hosts");
    ask(c, 'V', "r/1/host r2/host");
    ask(c, 'X', "x1 x2");
    ask(c, 'O', "");
    ack(c, 'C');
    is_str(got(c), "ECDS[x1] SRDS[o1] VHDS[r/1/host]",
           "virtual hosts, extension configs, scoped routes");
    leave(&c);
    world_close(&w);
}

static void identities(void)
{
    struct fp_xds_options o = {.control_plane_id = "t",
                               .ordering_timeout_ms = 15000,
                               .max_streams = 9,
                               .reflection = true,
                               .team_from_san = "spiffe://d/{team}",
                               .require_client_identity = true};
    struct world *w = world_open(&o);
    struct fp_buf m = {0};
    publish(w, PAY OPS NOONE);
    struct fp_grpc_call *c = dial_team(w, "pay");
    ask(c, 'C', "");
    is_int(c->status, FP_GRPC_PERMISSION_DENIED, "E-7: no identity, no stream");
    leave(&c);
    c = dial_team(w, "pay");
    c->subject = "CN=x", c->sans = "URI:spiffe://other/ops";
    ask(c, 'C', "");
    is_int(c->status, FP_GRPC_PERMISSION_DENIED, "nor with a certificate of somewhere else");
    leave(&c);
    c = dial_team(w, "pay");
    c->subject = "CN=x", c->sans = "URI:spiffe://d/ops";
    ask(c, 'C', "");
    is_str(got(c), "CDS[c2]", "I-9: the certificate's team, whatever the metadata says");
    is_int((int)atomic_load(&w->slot.xds_identity_mismatches), 1, "I-9: counted");
    leave(&c);
    put_allowlist(&m, "l1 l2");
    c = dial_as(w, &m);
    c->subject = "CN=x", c->sans = "URI:spiffe://d/ops";
    c->node = "team=pay/dp-1";
    ask(c, 'L', "");
    is_str(got(c), "LDS[l2]", "an allow-list is cut to the team");
    is_int((int)atomic_load(&w->slot.xds_identity_mismatches), 2,
           "I-9: a claim in the id counts too");
    leave(&c);
    c = call_open(w, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    is_int(c->status, FP_GRPC_PERMISSION_DENIED, "§9.1: reflection needs an identity too");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    what_nodes_say();
    what_certificates_say();
    first_answers();
    same_versions_whatever_the_scope();
    pushes();
    further_kinds();
    identities();
    return done_testing();
}
