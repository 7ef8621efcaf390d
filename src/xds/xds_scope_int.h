/*
 * Scopes (contract §9.4): what a node may see, as a value.  Nodes of equal scopes share one, and
 * with it one view of each generation.
 */
#pragma once
#include "core/core_map.h"
#include "google/protobuf/struct.pb-c.h"
#include "xds/xds_audience_int.h"

enum fp_xds_scope_kind { FP_XDS_SCOPE_ALL, FP_XDS_SCOPE_TEAM, FP_XDS_SCOPE_ALLOWLIST };

struct fp_xds_scopes { /* one per engine; {0} is empty */
    struct fp_map by_key;
};
void fp_xds_scopes_fini(struct fp_xds_scopes *s); /* after the last scope is gone */

struct fp_xds_scope { /* immutable but for the view */
    unsigned refs;
    enum fp_xds_scope_kind kind;
    struct fp_str team;   /* of the listeners; with an allow-list, of the runtimes too */
    bool bound;           /* the team is a certificate's: an allow-list is cut to it */
    bool include_default; /* with a team: the default gateway's listener too */
    uint32_t listeners_n;
    const struct fp_str *listeners; /* of the allow-list, sorted, no duplicates */
    struct fp_str key;              /* its own bytes; the strings above point into it */
    struct fp_xds_scopes *pool;
    struct fp_xds_view *view; /* of the generation it was last asked for; NULL: never */
};

/*
 * The scope of a node, as a new reference.  metadata may be NULL.  certificate_team: data != NULL:
 * replaces what the node says.
 */
struct fp_xds_scope *fp_xds_scope_of(struct fp_xds_scopes *s,
                                     const Google__Protobuf__Struct *metadata,
                                     struct fp_str certificate_team);
struct fp_xds_scope *fp_xds_scope_ref(struct fp_xds_scope *s);
void fp_xds_scope_unref(struct fp_xds_scope **s);
/* What the scope sees of the generation of `all`, its whole view.  Borrowed; made once. */
struct fp_xds_view *fp_xds_scope_view(struct fp_xds_scope *s, struct fp_xds_view *all);
/* The team that node.metadata claims; data == NULL: none. */
struct fp_str fp_xds_scope_claimed_team(const Google__Protobuf__Struct *metadata);
/*
 * The team that certificate names say: pattern holds "{team}" and is matched whole against each
 * name ("URI:…" and "DNS:…", one a line).  data == NULL: none.
 */
struct fp_str fp_xds_scope_san_team(const char *pattern, struct fp_str sans);
