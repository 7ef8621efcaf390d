/* A DiscoveryRequest and its Node, read off the wire without unpacking. */
#pragma once
#include "core/core_err.h"
#include "core/core_str.h"

struct fp_xds_request { /* borrowed from the message */
    struct fp_str version, type_url, nonce;
    struct fp_str node; /* data == NULL: absent */
    bool error;         /* error_detail is present: a NACK (N-1) */
    uint32_t error_code;
    struct fp_str error_message;
    uint32_t names_n;
    struct fp_str message; /* names are walked again from here */
};
/* 0, FP_ERR_PROTOCOL (E-2). */
int fp_xds_request_parse(struct fp_str message, struct fp_xds_request *out);
/* The next of names_n names; *cursor starts as r->message. */
bool fp_xds_request_name(struct fp_str *cursor, struct fp_str *name);

/* What is kept of a node (I-6): one block of memory, a few hundred bytes. */
struct fp_xds_node {
    struct fp_str id, cluster, user_agent, user_agent_version;
    struct fp_str locality, metadata; /* wire bytes of the messages */
    struct fp_str features;           /* each ends with NUL */
};
#define FP_XDS_NODE_MAX_BYTES    (64u << 10) /* of what is kept */
#define FP_XDS_METADATA_ELEMENTS 10000       /* unpacked, 1 MiB at most */
/*
 * A node without id takes tls_subject, the identity of the client certificate; when there is none
 * either: FP_ERR_NOT_FOUND (I-4).  Else 0, FP_ERR_PROTOCOL, FP_ERR_LIMIT (E-3); free with
 * fp_mem_free.
 */
int fp_xds_node_parse(struct fp_str bytes, struct fp_str tls_subject, struct fp_xds_node **out);
