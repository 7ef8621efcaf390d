/*
 * DiscoveryRequest and Node, walked by hand in workers.  Envoy 1.40 sends 516 extensions in its
 * node (61 kB): they are stepped over as one length each and must never be kept (I-6).
 */
#include "xds/xds_request_int.h"
#include <stdio.h>
#include "core/core_mem.h"
#include "xds/xds_wire_int.h"

enum { /* DiscoveryRequest */
       REQ_VERSION = 1,
       REQ_NODE = 2,
       REQ_NAMES = 3,
       REQ_TYPE_URL = 4,
       REQ_NONCE = 5,
       REQ_ERROR = 6,
};

static bool parse_error(struct fp_str in, struct fp_xds_request *out)
{
    struct fp_xds_field f;
    int r;
    out->error = true;
    while ((r = fp_xds_wire_next(&in, &f)) > 0) {
        if (f.number == 1 && f.type == FP_XDS_VARINT)
            out->error_code = (uint32_t)f.value;
        else if (f.number == 2 && f.type == FP_XDS_BYTES)
            out->error_message = f.bytes;
    }
    return r == 0;
}

static bool request_field(const struct fp_xds_field *f, struct fp_xds_request *out)
{
    switch (f->number) {
    case REQ_VERSION:
        out->version = f->bytes;
        return true;
    case REQ_NODE:
        out->node = f->bytes;
        return true;
    case REQ_NAMES:
        out->names_n++;
        return fp_str_is_utf8(f->bytes);
    case REQ_TYPE_URL:
        out->type_url = f->bytes;
        return fp_str_is_utf8(f->bytes);
    case REQ_NONCE:
        out->nonce = f->bytes;
        return true;
    case REQ_ERROR:
        return parse_error(f->bytes, out);
    default:
        return true; /* resource_locators (E-4) and what later versions add */
    }
}

int fp_xds_request_parse(struct fp_str message, struct fp_xds_request *out)
{
    *out = (struct fp_xds_request){.message = message};
    struct fp_str in = message;
    struct fp_xds_field f;
    int r;
    while ((r = fp_xds_wire_next(&in, &f)) > 0)
        if (f.type == FP_XDS_BYTES && !request_field(&f, out))
            return FP_ERR_PROTOCOL;
    return r ? FP_ERR_PROTOCOL : 0;
}

bool fp_xds_request_name(struct fp_str *cursor, struct fp_str *name)
{
    struct fp_xds_field f;
    while (fp_xds_wire_next(cursor, &f) > 0)
        if (f.number == REQ_NAMES && f.type == FP_XDS_BYTES) {
            *name = f.bytes;
            return true;
        }
    return false;
}

/* ---- Node ---- */

enum {
    NODE_ID = 1,
    NODE_CLUSTER = 2,
    NODE_METADATA = 3,
    NODE_LOCALITY = 4,
    NODE_USER_AGENT = 6,
    NODE_USER_AGENT_VERSION = 7,
    NODE_BUILD_VERSION = 8,
    NODE_FEATURES = 10,
};

#define SEMVER_BYTES 40

/* BuildVersion { SemanticVersion version = 1 } as "1.40.0" */
static bool semver(struct fp_str build, char out[SEMVER_BYTES])
{
    struct fp_xds_field f;
    struct fp_str version = FP_STR_NULL;
    uint32_t part[3] = {0};
    int r;
    while ((r = fp_xds_wire_next(&build, &f)) > 0)
        if (f.number == 1 && f.type == FP_XDS_BYTES)
            version = f.bytes;
    if (r < 0)
        return false;
    while ((r = fp_xds_wire_next(&version, &f)) > 0)
        if (f.number >= 1 && f.number <= 3 && f.type == FP_XDS_VARINT)
            part[f.number - 1] = (uint32_t)f.value;
    snprintf(out, SEMVER_BYTES, "%u.%u.%u", part[0], part[1], part[2]);
    return r == 0;
}

struct node_parts {
    struct fp_xds_node node; /* borrowed */
    size_t features_bytes;
    char semver[SEMVER_BYTES];
};

static bool node_field(const struct fp_xds_field *f, struct node_parts *p)
{
    struct fp_xds_node *n = &p->node;
    switch (f->number) {
    case NODE_ID:
        n->id = f->bytes;
        return fp_str_is_utf8(f->bytes);
    case NODE_CLUSTER:
        n->cluster = f->bytes;
        return fp_str_is_utf8(f->bytes);
    case NODE_METADATA:
        n->metadata = f->bytes;
        return true;
    case NODE_LOCALITY:
        n->locality = f->bytes;
        return true;
    case NODE_USER_AGENT:
        n->user_agent = f->bytes;
        return fp_str_is_utf8(f->bytes);
    case NODE_USER_AGENT_VERSION:
        n->user_agent_version = f->bytes;
        return fp_str_is_utf8(f->bytes);
    case NODE_BUILD_VERSION:
        if (!semver(f->bytes, p->semver))
            return false;
        n->user_agent_version = fp_str_of(p->semver);
        return true;
    case NODE_FEATURES:
        p->features_bytes += f->bytes.len + 1;
        return fp_str_is_utf8(f->bytes);
    default:
        return true; /* extensions above all */
    }
}

static char *keep(struct fp_str *s, char *at)
{
    if (!s->data)
        return at;
    memcpy(at, s->data, s->len);
    s->data = at;
    return at + s->len;
}

static void keep_features(struct fp_str node, char *at, struct fp_str *out)
{
    struct fp_xds_field f;
    char *p = at;
    while (fp_xds_wire_next(&node, &f) > 0)
        if (f.number == NODE_FEATURES && f.type == FP_XDS_BYTES) {
            memcpy(p, f.bytes.data, f.bytes.len);
            p += f.bytes.len;
            *p++ = 0;
        }
    *out = fp_str_n(at, (size_t)(p - at));
}

int fp_xds_node_parse(struct fp_str bytes, struct fp_str tls_subject, struct fp_xds_node **out)
{
    struct node_parts p = {0};
    struct fp_str in = bytes;
    struct fp_xds_field f;
    int r;
    while ((r = fp_xds_wire_next(&in, &f)) > 0)
        if (f.type == FP_XDS_BYTES && !node_field(&f, &p))
            return FP_ERR_PROTOCOL;
    if (r < 0)
        return FP_ERR_PROTOCOL;
    if (!p.node.id.len)
        p.node.id = tls_subject;
    if (!p.node.id.len)
        return FP_ERR_NOT_FOUND;
    struct fp_str *const parts[] = {
        &p.node.id,       &p.node.cluster,  &p.node.user_agent, &p.node.user_agent_version,
        &p.node.locality, &p.node.metadata,
    };
    size_t need = p.features_bytes;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        need += parts[i]->len;
    if (need > FP_XDS_NODE_MAX_BYTES)
        return FP_ERR_LIMIT;
    *out = fp_mem_zalloc(sizeof **out + need);
    char *at = (char *)(*out + 1);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        at = keep(parts[i], at);
    keep_features(bytes, at, &p.node.features);
    **out = p.node;
    return 0;
}
