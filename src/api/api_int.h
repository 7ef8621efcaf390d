/* Private to the api room: the state of the API and of one call, and what the .c files share. */
#pragma once
#include <jansson.h>
#include "api/api.h"
#include "auth/auth.h"
#include "model/model.h"
#include "obs/obs_limit.h"
#include "os/os_cidr.h"

#define API_JSON_DEPTH     64
#define API_NAME_PARAMETER "name"
#define API_LIMIT_MAX      1000
#define API_WARNING_BYTES  255
#define API_WARNINGS_MAX   8 /* in the headers of an answer; a dry run's body has them all */

struct api_page {       /* the same bytes for everybody: api_openapi.c */
    struct fp_str text; /* data == NULL: not made yet */
    struct fp_buf gzip; /* anybody may ask for it, again and again */
    char etag[2 * 16 + 3];
};

struct fp_api {
    struct fp_loop *loop;
    struct fp_api_options o;
    struct fp_http_handlers handlers, metrics_handlers;
    struct fp_snap *snap; /* the generation served; NULL before the first */
    /* Since when a read has waited for our own commits; 0: none has since the last generation. */
    uint64_t behind_since_ms;
    struct fp_list waiting; /* calls that wait for a newer revision */
    struct api_page document, swagger;
    struct fp_buf document_text, swagger_policy;
    struct fp_cidr *proxies; /* api.trusted_proxies */
    size_t proxies_n;
    struct api_audit *audit;
};

enum api_wait { API_WAIT_NO, API_WAIT_PUBLISHED, API_WAIT_ACKED };
struct api_options { /* of every write: api_option.c */
    bool dry_run, allow_missing;
    enum api_wait wait;
    uint64_t timeout_ms;
};

struct api_headers { /* a response's own headers; the common ones are added */
    struct fp_http_header items[24];
    size_t n;
};

struct fp_api_call;
struct api_trace;
struct fp_trace;
typedef void (*fp_api_handler)(struct fp_api_call *c);

enum {
    API_PUBLIC = 1, /* no token */
    API_BODY = 2,   /* reads a JSON body */
    API_ALIAS = 4,  /* a singular path: api_alias.c */
    API_BULK = 8,   /* the body limit is that of sets of resources */
    API_YAML = 16,  /* the body may be YAML too */
};

/*
 * What the OpenAPI document says of an operation (api_openapi.c).  "*" in the name of a schema
 * stands for the title of the route's kind.  Left to the common rules: the path's parameters, the
 * options of writes, the answers that every operation has, and the dry run's.
 */
struct api_doc {
    const char *summary;
    const char *parameters; /* of api_openapi.json, blank-separated; NULL: none */
    const char *body;       /* its schema; NULL: none */
    const char *answer;   /* the success's: a schema, "[]" behind it for a list, "text/html" … for
                             a text; NULL: no body */
    const char *statuses; /* the success, then what else: "200 304 404" */
};

struct fp_api_route {
    const char *method, *pattern;  /* "{name}" stands for one whole segment */
    const char *resource, *action; /* scope; NULL with API_PUBLIC */
    fp_api_handler handler;
    enum fp_kind kind;
    unsigned flags;
    struct api_doc doc;
};

/* One request on its way.  Lives in the request's arena. */
struct fp_api_call {
    struct fp_api *api;
    struct fp_http_request *r;
    const struct fp_api_route *route, *known; /* of this method; any of this path (metrics) */
    struct fp_str name;     /* the {name} of the path, decoded; data == NULL when there is none */
    struct fp_str raw_name; /* the same as sent */
    struct fp_str request_id;
    struct api_trace *trace; /* NULL while tracing is off */
    struct fp_snap *snap;    /* the generation that authenticated it; holds the token's memory */
    struct fp_snap_token token;
    struct fp_addr client; /* behind trusted proxies: the hop before them */
    struct fp_str user_id; /* "fp_pat_<uuid>", data == NULL when nobody is known */
    bool
        unknown; /* a well-formed token that the snapshot does not know: looked up after the body */
    fp_api_handler looked_up;
    json_t *json; /* the body, in the arena; NULL: none is read, or in parts (API_BULK) */
    enum fp_auth_grant grant;
    struct fp_problems *problems;
    const char *media;                  /* of the answer; NULL: JSON */
    const struct api_page *page;        /* whose text the answer is */
    struct fp_model_resource *resource; /* writes: what is being stored */
    struct api_options options;         /* writes */
    struct fp_store_write *dry;         /* dry runs: what would be written */
    bool over;                          /* a create that became a replace: 200, not 201 */
    int64_t dry_version;                /* dry deletions: If-Match, -1 = none */
    void *user;                         /* the handler's own */
    /* a write's answer, while it waits */
    int status;
    struct api_headers headers;
    struct fp_str body;
    /* waiting: api_wait.c */
    struct fp_list wait_link;
    struct fp_timer wait_timer;
    uint64_t wait_revision, wait_own; /* asked for by the client; committed by this instance */
    uint64_t wait_until_ms, wait_tick_ms;
    unsigned wait_kinds; /* that a set changed, bits 1 << enum fp_kind; 0: the route's */
    bool (*wait_for)(struct fp_api_call *c);
    const char *wait_news; /* Flowplane-Wait once it has come true */
    fp_api_handler wait_then, wait_over;
};

/* api_routes.c: the first route whose pattern fits; *name is the raw {name} segment.  NULL: unknown
 * path. */
const struct fp_api_route *api_route_path(struct fp_str path, struct fp_str *name);
/* The route of the same pattern for this method; HEAD is GET.  NULL: 405. */
const struct fp_api_route *api_route_method(const struct fp_api_route *path, struct fp_str method);
/* The patterns of all routes once each, NULL-terminated, and the place of a route's in it. */
const char *const *api_route_patterns(void);
unsigned api_route_pattern(const struct fp_api_route *r); /* NULL: beyond the last */
/* "GET, HEAD, OPTIONS, POST" for this pattern, in the arena */
const char *api_route_allow(const struct fp_api_route *path, struct fp_arena *a);

/* The table itself, for the OpenAPI document. */
const struct fp_api_route *api_routes(size_t *n);

/* api_call.c: the checks of contract §2.1 up to the size, in its order */
struct fp_http_verdict api_call_headers(struct fp_http_request *r, void *api);
struct fp_http_verdict api_call_metrics_headers(struct fp_http_request *r, void *api);
void api_call_request(struct fp_http_request *r, void *api);
bool api_call_sees(const struct fp_api_call *c, struct fp_str team);
/* May the token read that row, "kind/name", of any kind?  One that the snapshot has not yet: no. */
bool api_call_reads(const struct fp_api_call *c, struct fp_str user);
bool api_call_yaml(const struct fp_api_call *c); /* the body is YAML (routes with API_YAML) */

/* api_trace.c: spans; no-ops while tracing is off */
void api_trace_begin(struct fp_api_call *c);
struct fp_str api_trace_context(const struct fp_api_call *c); /* of http_request, or null */
struct fp_str api_trace_id(const struct fp_api_call *c);      /* 32 hex digits, or null */
void api_trace_auth(struct fp_api_call *c);
const struct fp_trace *api_trace_auth_at(const struct fp_api_call *c); /* or NULL */
void api_trace_auth_end(struct fp_api_call *c, const char *result, bool failed);
void api_trace_db(struct fp_api_call *c); /* before a statement is made; once for all its parts */
void api_trace_db_end(struct fp_api_call *c, bool failed);
void api_trace_end(struct fp_api_call *c, struct api_headers *h, struct fp_str path, int status);

/* api_metric.c: a method by number */
unsigned api_metric_method(struct fp_str method);
/* api_auth.c */
enum api_auth { API_AUTH_OK, API_AUTH_ANSWERED, API_AUTH_UNKNOWN /* ask the database */ };
enum api_auth api_auth_check(struct fp_api_call *c);
void api_auth_refuse(struct fp_api_call *c, enum fp_auth_verdict v); /* answers */
/* Asks the database for the id; then(c) when it is a good token, else it was answered. */
void api_auth_look_up(struct fp_api_call *c, fp_api_handler then);

/* api_audit.c: rows that no change carries, written beside the request (contract §11.5) */
void api_audit_init(struct fp_api *api);
void api_audit_fini(struct fp_api *api);
/* id: of the token when it is well-formed; its name is told when the secret was right */
void api_audit_failed(struct fp_api_call *c, enum fp_auth_verdict v, struct fp_str id);
void api_audit_forbidden(struct fp_api_call *c, const char *required);
void api_audit_used(struct fp_api_call *c); /* last use, and the success row */

/* api_client.c: the client's address */
struct fp_addr api_client_of(const struct fp_api *api, struct fp_http_request *r);
/* api_cors.c: what every answer and what a preflight's answer carries */
void api_cors_headers(struct fp_api_call *c, struct api_headers *h);
void api_cors_preflight(struct fp_api_call *c, struct api_headers *h, const char *methods);
/* api_limit.c: true after a 429 was sent */
bool api_limit_failure(struct fp_api_call *c);
bool api_limit_write(struct fp_api_call *c);
struct fp_str api_limit_address(const struct fp_api_call *c); /* the client as a key */
/* api_option.c: reads the options into c->options; bad ones become problems */
void api_options_read(struct fp_api_call *c);
/* The query is well-formed and no parameter stands twice; what is not becomes a problem. */
void api_query_check(struct fp_api_call *c);

/* api_wait.c.  Reads: then(c) once what the client asks for and what this instance committed is
 * served here, or 503 after 5 s.  With the database away own writes are not waited for. */
void api_wait_fresh(struct fp_api_call *c, fp_api_handler then);
/* Writes: answers with c->status, headers and body, when `wait=` has come true or its time is over.
 */
void api_wait_written(struct fp_api_call *c, uint64_t revision, bool changed);
bool api_wait_published(const struct fp_api_call *c, uint64_t revision);
unsigned api_wait_kinds(enum fp_kind kind); /* the types of xDS that a change of it moves */
void api_wait_wake(struct fp_api *api);     /* a new generation is served */
void api_wait_leave(struct fp_api_call *c); /* the client is gone; no-op when not waiting */

/* api_respond.c: a path without what follows a token's id; the others end the call */
struct fp_str api_masked(struct fp_api_call *c, struct fp_str path);
void api_header_add(struct api_headers *h, const char *name, struct fp_str value);
void api_header_number(struct fp_api_call *c, const char *name, uint64_t v); /* of c */
/* Into c->headers; cut, as the text may quote the body: proxies answer 502 for fields beyond 4 KiB.
 */
void api_header_warn(struct fp_api_call *c, const char *code, const char *message);
void api_respond(struct fp_api_call *c, int status, struct api_headers *h, struct fp_str body);
/* message in printf form; problems may be NULL; h may be NULL */
void api_fail(struct fp_api_call *c, int status, struct api_headers *h,
              const struct fp_problems *ps, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void api_fail_problems(struct fp_api_call *c); /* 400 with all of c->problems */
void api_fail_unavailable(struct fp_api_call *c, const char *message);
void api_fail_not_found(struct fp_api_call *c);
void api_too_large(struct fp_http_request *r, uint64_t limit, void *api);
void api_bad(int status, const char *message, struct fp_http_bad *out, void *api);

/* api_reference.c: is it there, for a row of that team? */
bool api_reference_found(const struct fp_snap *s, const struct fp_store_write *w,
                         const struct fp_ref *ref);
/* Adds a warning `missing_reference` (§2.2) to c->resource for each name that may be absent, and
 * is: in the snapshot (dry runs), or as the transaction of the write has found. */
void api_reference_warn(struct fp_api_call *c, const struct fp_snap *s,
                        const struct fp_store_write *w);
void api_reference_absent(struct fp_api_call *c, const struct fp_store_result *res);
const char *api_reference_text(struct fp_arena *a, enum fp_kind kind, struct fp_str name);

/* api_option.c: an integer parameter, 0 when absent; what is no integer becomes a problem */
uint64_t api_query_clamped(struct fp_api_call *c, const char *parameter, int64_t least,
                           int64_t most);

/* api_write.c: answers every outcome that is not a success; false: it is one */
bool api_write_refused(struct fp_api_call *c, const struct fp_store_result *res);
/* If-Match into *version, -1 = none; a bad one becomes a problem. */
void api_write_if_match(struct fp_api_call *c, int64_t *version);
struct fp_store_actor api_write_actor(struct fp_api_call *c);
/* Replaces version `version` of the row of that name by c->resource: 200. */
void api_write_over(struct fp_api_call *c, int64_t version);
/* The teams of a team-scoped token for a resource. */
const struct fp_str *api_own_teams(struct fp_api_call *c, const char *resource, size_t *n);
/* What is stored of m, with the options of the call. */
struct fp_store_write api_store_write(struct fp_api_call *c, const struct fp_model_resource *m);
/* The headers that every successful write has, but for a deletion's entity tag. */
void api_write_headers(struct fp_api_call *c, const struct fp_store_result *res);
/* api_alias.c: the name of a create on a singular path is taken */
void api_alias_taken(struct fp_api_call *c);
/* Would writing m leave that row as it is?  rest: the row's REST form. */
bool api_alias_same(const struct fp_model_resource *m, const struct fp_snap_entry *e,
                    const json_t *rest);
/* What a create on a singular path does to that row: nothing, replace it, refuse. */
enum api_alias { API_ALIAS_SAME, API_ALIAS_OVER, API_ALIAS_TAKEN };
enum api_alias api_alias_judge(struct fp_api_call *c, const struct fp_snap_entry *e,
                               const json_t *rest);
/* api_dry.c: what the write would do, against the snapshot (contract §2.8) */
void api_dry_create(struct fp_api_call *c, const struct fp_store_write *w);
void api_dry_replace(struct fp_api_call *c, const struct fp_store_write *w);
void api_dry_delete(struct fp_api_call *c, int64_t if_version);

/* api_token_body.c: the body of a create or a change of a token, checked */
struct api_token_body {
    json_t *fields; /* as fp_token_write takes them */
    bool admin_all; /* the body grants admin:all */
    struct {
        const char *code, *pointer, *message;
    } warnings[2];
    size_t warnings_n;
};
/* false: answered */
bool api_token_body_read(struct fp_api_call *c, bool create, struct api_token_body *out);
/* api_read.c: does If-None-Match name this entity tag? */
bool api_read_none_match(struct fp_api_call *c, struct fp_str etag);
void api_read_revision(struct fp_api_call *c); /* Flowplane-Revision: the one served */

/* api_openapi.c: 200 with the page, or 304; its tag from its text */
void api_page_answer(struct fp_api_call *c, const struct api_page *page);
void api_page_seal(struct api_page *page, struct fp_str text);

/* api_link.c: the operation's id in the document; its answer's links, a new reference or NULL */
char *api_operation_id(const struct fp_api_route *r, struct fp_arena *a);
json_t *api_links_of(const struct fp_api_route *r, struct fp_arena *a);

/* handlers */
void api_openapi(struct fp_api_call *c);
void api_swagger(struct fp_api_call *c);
void api_health(struct fp_api_call *c);
void api_ready(struct fp_api_call *c);
void api_metrics(struct fp_api_call *c);
void api_list(struct fp_api_call *c);
void api_get(struct fp_api_call *c);
void api_create(struct fp_api_call *c);
void api_replace(struct fp_api_call *c);
void api_delete(struct fp_api_call *c);
void api_apply(struct fp_api_call *c);
void api_export(struct fp_api_call *c);
void api_revisions(struct fp_api_call *c);
void api_revision(struct fp_api_call *c);
void api_revision_status(struct fp_api_call *c);
void api_rollback(struct fp_api_call *c);
void api_nodes(struct fp_api_call *c);
void api_node(struct fp_api_call *c);
void api_nacks(struct fp_api_call *c);
/* api_token.c */
void api_token_create(struct fp_api_call *c);
void api_token_list(struct fp_api_call *c);
void api_token_self(struct fp_api_call *c);
void api_token_get(struct fp_api_call *c);
void api_token_patch(struct fp_api_call *c);
void api_token_revoke(struct fp_api_call *c);
void api_token_rotate(struct fp_api_call *c);
void api_audit_list(struct fp_api_call *c);
