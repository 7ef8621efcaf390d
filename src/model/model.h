/*
 * From a REST body to canonical Envoy JSON, and back to a REST response (contract §5).  One .c per
 * kind; no I/O, no clock, no global state: equal input, equal output, in API workers and the
 * watcher.
 */
#pragma once
#include <jansson.h>
#include "core/core_arena.h"
#include "core/core_kind.h"
#include "core/core_problem.h"
#include "core/core_buf.h"
#include "pb/pb_pool.h"

/* Raise when the expansion of any kind changes: rows of an older encoder are encoded anew. */
#define FP_MODEL_ENCODER_VERSION 1

enum fp_model_form { FP_FORM_MODEL, FP_FORM_ENVOY };

struct fp_model_warning {
    const char *code; /* Flowplane-Warning code of contract §2.2 */
    const char *pointer;
    const char *message;
};

struct fp_model_options {
    const struct fp_pb_pool *pool;
    bool allow_privileged_ports;
};

/* A validated resource.  Everything lives in the arena given to the call. */
struct fp_model_resource {
    enum fp_kind kind;
    enum fp_model_form form;
    struct fp_str name;
    struct fp_str team;    /* data == NULL: none */
    json_t *configuration; /* what is stored as jsonb: the echoed `config`, or the Envoy JSON */
    struct fp_str configuration_text; /* the same, compact, keys sorted */
    struct fp_str encoded;    /* one or more elements (pb_json.h): the resource, then generated ones
                                 (a cluster's ClusterLoadAssignment) */
    uint8_t content_hash[32]; /* SHA-256 of encoded */
    struct fp_ref
        *refs; /* what it names: clusters, routes, secrets, endpoint sets; no duplicates */
    size_t refs_n;
    struct fp_model_warning *warnings;
    size_t warnings_n;
    /* summary columns of contract §14; data == NULL where the kind has none */
    struct fp_str service_name;              /* clusters */
    struct fp_str path_prefix, cluster_name; /* routes */
    struct fp_str address, protocol;         /* listeners */
    int port;                                /* listeners; -1 = none */
};

/*
 * Parse, validate, expand, encode a create or replace body.  path_name: the name in the URL for a
 * replace (a body may leave it out, a different one is a problem), FP_STR_NULL for a create.
 * 0, or FP_ERR_INVALID with all problems of the body in ps.
 */
int fp_model_parse(enum fp_kind kind, const struct fp_model_options *o, struct fp_arena *a,
                   const json_t *body, struct fp_str path_name, struct fp_problems *ps,
                   struct fp_model_resource *out);
/*
 * The same from a stored row (the watcher: rows edited by hand, an older encoder).  service_name is
 * only used for clusters.
 */
int fp_model_parse_stored(enum fp_kind kind, const struct fp_model_options *o, struct fp_arena *a,
                          struct fp_str name, struct fp_str service_name,
                          struct fp_str form /* "model" | "envoy" */, const json_t *configuration,
                          struct fp_problems *ps, struct fp_model_resource *out);

struct fp_model_row { /* what a response is made of; times are RFC 3339 text */
    struct fp_str id, name, team, source, form, service_name, created_at, updated_at;
    int64_t version;
    const json_t *configuration;
};
/* Appends the response object (contract §5.1 common keys and the kind's own). */
void fp_model_render(enum fp_kind kind, const struct fp_model_row *row, struct fp_buf *out);
