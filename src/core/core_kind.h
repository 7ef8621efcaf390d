/*
 * The kinds of contract §1, in one table: every room that loops over kinds uses it.  The order is
 * that of the snapshot's type tables and must not change (the layout of a cached snapshot).
 */
#pragma once
#include "core/core_str.h"

enum fp_kind {
    FP_KIND_CLUSTER,
    FP_KIND_ENDPOINT,
    FP_KIND_LISTENER,
    FP_KIND_ROUTE,
    FP_KIND_SECRET,
    FP_KIND_SCOPED_ROUTE,
    FP_KIND_VIRTUAL_HOST,
    FP_KIND_RUNTIME,
    FP_KIND_EXTENSION_CONFIG,
    FP_KIND_API_DEFINITION,
    FP_KIND_TOKEN,
    FP_KIND_N
};

struct fp_kind_info {
    const char *name;     /* "cluster" */
    const char *title;    /* "Cluster", for messages */
    const char *path;     /* "clusters": REST segment, scope resource */
    const char *table;    /* "clusters" */
    const char *message;  /* "envoy.config.cluster.v3.Cluster", NULL for tokens and definitions */
    const char *type_url; /* "type.googleapis.com/" + message, or NULL */
    const char *xds;      /* "CDS", or NULL */
};
extern const struct fp_kind_info fp_kinds[FP_KIND_N];
#define FP_TYPE_URL_PREFIX "type.googleapis.com/"
/* FP_KIND_N when unknown */
enum fp_kind fp_kind_by_type_url(struct fp_str type_url);
enum fp_kind fp_kind_by_name(struct fp_str name);
enum fp_kind fp_kind_by_path(struct fp_str path);

struct fp_ref { /* "this resource names that one" */
    enum fp_kind kind;
    struct fp_str name;
    const char *pointer; /* where in the body, NULL when not known */
};
