/*
 * Private to the model room: the table-driven reader (bodies → canonical configuration), the copy
 * tables (canonical configuration → Envoy JSON) and what each kind offers to model.c.
 *
 * Reading knows two spellings of every key (camelCase, snake_case) and two shapes of every tagged
 * choice (`"type": "prefix"` beside its fields, or the stored `{"Prefix": …}`).  Writing uses one:
 * the canonical shape, or with snake_out/tagged_out the stored shape of a listener (contract
 * §5.4.5).
 */
#pragma once
#include "core/core_map.h"
#include "model/model.h"

#define FP_M_N(table)    (sizeof(table) / sizeof((table)[0]))
#define FP_M_MAX_UINT    UINT32_MAX
#define FP_M_MAX_SECONDS 315576000000u
/* §5.1 allows 2^53, but a protobuf Duration ends here: what it cannot hold is refused. */
#define FP_M_MAX_MS           (FP_M_MAX_SECONDS * UINT64_C(1000))
#define FP_M_FIELDS_MAX       64
#define FP_M_REF(kind)        ((int)(kind) + 1)
#define FP_M_NAME_BYTES       64 /* the longest key of any table, with its underscores */
#define FP_M_ANY              "google.protobuf.Any"
#define FP_M_TYPED(full_name) "@type", FP_TYPE_URL_PREFIX full_name

struct fp_model_schema;
struct fp_model_object;
struct fp_model_shaper;

struct fp_model_reader {
    struct fp_arena *arena;
    struct fp_problems *ps;
    const struct fp_pb_pool *pool; /* NULL only in tests: typed configurations stay unchecked */
    bool allow_privileged_ports;
    bool trusted;    /* input has been validated: cross-field checks and notes are skipped */
    bool snake_out;  /* keys are written in snake_case */
    bool tagged_out; /* choices are written as {"Tag": …} */
    unsigned tagged; /* > 0: inside {"Tag": …}, where a field's `stored` name is accepted */
    bool opaque;     /* a configuration given as bytes was read: references need decoding */
    struct fp_model_warning *warnings;
    size_t warnings_n, warnings_cap;
    struct fp_map notes; /* names seen while reading: "<kind> <name>" → pointer (fp_model_refs) */
    struct fp_model_paths *paths; /* where pointers of the objects being read are spelled */
};

/* ---- tables ---- */
enum fp_model_type {
    FP_M_STRING, /* min..max code points, then `text` */
    FP_M_UINT,   /* min..max */
    FP_M_NUMBER, /* fraction, min..max */
    FP_M_BOOL,
    FP_M_ENUM,   /* `values` */
    FP_M_OBJECT, /* `object` */
    FP_M_READ,   /* `read`: returns the canonical value (a new reference) or NULL with a problem */
};
enum {
    FP_M_REQUIRED = 1,
    FP_M_LIST = 2,     /* an array of it, min_items..max_items */
    FP_M_ANY_CASE = 4, /* enum texts in any case, underscores optional; UNIQUE ignores case */
    FP_M_TRIM = 8,     /* blanks around a string are dropped */
    FP_M_UNIQUE = 16,  /* list items differ */
};
struct fp_model_field {
    const char *name; /* canonical spelling */
    enum fp_model_type type;
    unsigned flags;
    uint64_t min, max; /* max 0: no upper bound for strings, FP_M_MAX_UINT for numbers */
    size_t min_items, max_items;
    const char *alias;  /* a third name; for a list it holds one item */
    const char *stored; /* name inside {"Tag": …} when it is not the snake_case of `name` */
    int ref;            /* FP_M_REF(kind): the string names a resource */
    const char *const *values; /* NULL-terminated */
    const struct fp_model_schema *object;
    void (*text)(struct fp_model_reader *r, const char *pointer, struct fp_str s);
    json_t *(*read)(struct fp_model_reader *r, const json_t *v, const char *pointer);
    /* FP_M_READ: what `read` takes, as a JSON Schema; NULL: anything.  name: for its parts. */
    json_t *(*shape)(struct fp_model_shaper *s, const char *name);
};
/* Which of some fields stand together; said by the reader and by the JSON Schema alike. */
enum fp_model_together {
    FP_M_AT_MOST_ONE,  /* of names */
    FP_M_EXACTLY_ONE,  /* of names */
    FP_M_AT_LEAST_ONE, /* of names */
    FP_M_UNLESS,       /* names: the field that is required, unless this field has this value */
};
#define FP_M_RULE_NAMES 8
struct fp_model_rule {
    enum fp_model_together how;
    const char *names[FP_M_RULE_NAMES]; /* NULL-terminated; of fields without an alias */
};
struct fp_model_schema {
    const struct fp_model_field *fields;
    size_t fields_n;
    /* What no rule can say; runs behind them, with what could be read. */
    void (*check)(struct fp_model_reader *r, const struct fp_model_object *o);
    const struct fp_model_rule *rules;
    size_t rules_n;
};
#define FP_M_SCHEMA(table, fn)                                                                     \
    {                                                                                              \
        .fields = (table), .fields_n = FP_M_N(table), .check = (fn)                                \
    }
#define FP_M_RULED(table, fn, rule_table)                                                          \
    {                                                                                              \
        .fields = (table), .fields_n = FP_M_N(table), .check = (fn), .rules = (rule_table),        \
        .rules_n = FP_M_N(rule_table)                                                              \
    }

/* An object being read.  Two sources when a response with `config` is sent back (§5.1). */
struct fp_model_object {
    const struct fp_model_schema *schema;
    const json_t *in[2];
    const char *pointer[2];
    size_t in_n;
    const char *key[2][FP_M_FIELDS_MAX]; /* as sent, by source and field; NULL: absent or null */
    json_t *out;
};

struct fp_model_variant {
    const char *type;   /* "prefix" */
    const char *tag;    /* "Prefix" */
    const char *member; /* the tag's value is this member alone (a plain value), or NULL */
    const struct fp_model_schema *schema;
};
struct fp_model_choice {
    const char *key; /* "type" */
    const struct fp_model_variant *variants;
    size_t variants_n;
};

/* ---- model_read.c, model_key.c ---- */
/* NULL (with a problem) when it is no object; else a new reference, possibly incomplete. */
json_t *fp_model_object_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                             const json_t *v, const char *pointer);
/* As above for a member set that may hold `skip` keys read elsewhere (NULL-terminated). */
json_t *fp_model_members_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                              const json_t *v, const char *pointer, const char *const *skip);
/* config (may be NULL) first, then the top level, whose repeated members must agree. */
json_t *fp_model_root_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                           const json_t *body, const json_t *config, const char *config_pointer,
                           const char *const *skip);
json_t *fp_model_list_read(struct fp_model_reader *r, const json_t *v, const char *pointer,
                           json_t *(*item)(struct fp_model_reader *, const json_t *, const char *));
/* Sent and not null?  Also true for a value that was refused. */
bool fp_model_object_has(const struct fp_model_object *o, const char *name);
/* The canonical value, NULL when absent or refused. */
const json_t *fp_model_object_get(const struct fp_model_reader *r, const struct fp_model_object *o,
                                  const char *name);
/* The value as sent, NULL when absent. */
const json_t *fp_model_object_sent(const struct fp_model_object *o, const char *name);
/* Pointer of a member in the spelling that was sent (canonical when it was not). */
const char *fp_model_object_at(struct fp_model_reader *r, const struct fp_model_object *o,
                               const char *name);
/* As a rule that holds only sometimes.  None of them sent: required at the first; more than one:
 * mutually_exclusive at the second. */
void fp_model_object_rule(struct fp_model_reader *r, const struct fp_model_object *o,
                          enum fp_model_together how, const char *const *names);
/* A pointer one step longer, valid until the mark is taken back: what stays (problems, warnings,
 * notes) is copied, so that a big body costs the pointers of its depth and not of its size. */
const char *fp_model_path_push(struct fp_model_reader *r, const char *pointer, const char *key);
const char *fp_model_path_push_index(struct fp_model_reader *r, const char *pointer, size_t index);
size_t fp_model_path_mark(const struct fp_model_reader *r);
void fp_model_path_rewind(struct fp_model_reader *r, size_t mark);
const char *fp_model_noted(const struct fp_model_reader *r, enum fp_kind kind, struct fp_str name);
bool fp_model_key_is(const char *name, const char *key); /* either spelling of `name` */
const json_t *fp_model_key_find(const json_t *v, const char *name, const char **key);
void fp_model_snake(char out[FP_M_NAME_BYTES], const char *name);
void fp_model_warn(struct fp_model_reader *r, const char *code, const char *pointer,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fp_model_note(struct fp_model_reader *r, enum fp_kind kind, struct fp_str name,
                   const char *pointer);

/* ---- model_shape.c: JSON Schemas; each returns a new reference ---- */
enum fp_model_spelling {
    FP_M_SENT,   /* bodies: null is absent, aliases */
    FP_M_SHOWN,  /* answers: the canonical shape */
    FP_M_STORED, /* a listener's config: snake_case, tagged choices (§5.4.5) */
};
enum fp_model_spelling fp_model_shape_spelling(const struct fp_model_shaper *s);
json_t *fp_model_shape_object(struct fp_model_shaper *s, const struct fp_model_schema *schema,
                              const char *name);
/* beside: members that stand next to the choice, NULL for none; tagged choices then are the value
 * of `wrapper`. */
json_t *fp_model_shape_choice(struct fp_model_shaper *s, const struct fp_model_choice *c,
                              const struct fp_model_schema *beside, const char *wrapper,
                              const char *name);
json_t *fp_model_shape_list(json_t *item);
json_t *fp_model_shape_map(json_t *value);
json_t *fp_model_shape_any_of(json_t *a, json_t *b);
json_t *fp_model_shape_typed(struct fp_model_shaper *s, const char *name);

/* ---- model_choice.c ---- */
json_t *fp_model_choice_read(struct fp_model_reader *r, const struct fp_model_choice *c,
                             const json_t *v, const char *pointer, const char *const *skip);
/* A typed configuration: {"@type": …} or {"type_url", "value"}, checked along its descriptor. */
json_t *fp_model_typed_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
bool fp_model_typed_is(const json_t *v); /* looks like one */
struct fp_str fp_model_typed_name(
    const json_t *v); /* full message name, FP_STR_NULL if malformed */

/* ---- model_text.c: string rules; each adds its own problem ---- */
typedef void fp_model_text(struct fp_model_reader *r, const char *pointer, struct fp_str s);
fp_model_text fp_model_text_nonblank, fp_model_text_name, fp_model_text_team, fp_model_text_host,
    fp_model_text_ip, fp_model_text_slash, fp_model_text_regex, fp_model_text_header_name,
    fp_model_text_header_value, fp_model_text_edited_header, fp_model_text_token,
    fp_model_text_template, fp_model_text_path_separated, fp_model_text_server_name,
    fp_model_text_cidr, fp_model_text_domain, fp_model_text_format;
bool fp_model_host_is_ip(struct fp_str s); /* IPv4 or IPv6 literal, without brackets */
bool fp_model_host_is_ip6(struct fp_str s);
size_t fp_model_host_bytes(struct fp_str s, unsigned char out[16]); /* 4, 16, or 0: no address */

/* ---- model_regex.c, model_template.c: NULL when fine, else what is wrong (arena text) ---- */
const char *fp_model_regex_check(struct fp_str s, size_t *program_size);
const char *fp_model_template_check(struct fp_arena *a, struct fp_str s);
/* A rewrite and whether every variable of it is captured by `match`. */
const char *fp_model_template_rewrite_check(struct fp_arena *a, struct fp_str rewrite,
                                            struct fp_str match);

/* ---- model_copy.c: from a canonical object into an Envoy message ---- */
enum fp_model_how { FP_C_SAME, FP_C_SECONDS, FP_C_MS, FP_C_FILENAME, FP_C_FRACTION };
struct fp_model_copy {
    const char *from;
    const char *to; /* "a.b" sets b inside a */
    enum fp_model_how how;
};
void fp_model_copy(json_t *to, const json_t *from, const struct fp_model_copy *table, size_t n);
json_t *fp_model_sub(json_t *object, const char *key); /* borrowed; made when absent */
json_t *fp_model_duration_ms(uint64_t ms);
json_t *fp_model_ads(void); /* a ConfigSource: ADS, API V3 */
json_t *fp_model_sds(const json_t *name);
json_t *fp_model_string_matcher(const json_t *m);
json_t *fp_model_fraction(const json_t *f);
bool fp_model_true(const json_t *object, const char *key);
struct fp_str fp_model_str(const json_t *object, const char *key);

/* ---- shared schemas ---- */
extern const char *const fp_model_denominators[];
extern const struct fp_model_schema fp_model_endpoint_schema, fp_model_locality_schema,
    fp_model_fraction_schema, fp_model_string_matcher_schema, fp_model_route_schema,
    fp_model_inline_route_schema;
json_t *fp_model_endpoint_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_endpoint_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_endpoints_expand(const json_t *endpoints, const char *cluster_name);
void fp_model_endpoints_check_weights(struct fp_model_reader *r, const json_t *endpoints,
                                      const char *pointer);
void fp_model_tls_check_versions(struct fp_model_reader *r, const struct fp_model_object *o);
void fp_model_tls_check_pair(struct fp_model_reader *r, const struct fp_model_object *o,
                             const char *certificate, const char *key);
void fp_model_tls_expand_common(json_t *common, const json_t *tls); /* versions, ciphers, ALPN */
json_t *fp_model_route_expand(const json_t *c, const char *name);
json_t *fp_model_filters_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_filters_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_filters_expand(const json_t *filters);
json_t *fp_model_per_filter_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_per_filter_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_per_filter_expand(const json_t *map);
json_t *fp_model_upgrades_expand(const json_t *list);
json_t *fp_model_access_log_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_access_log_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_access_log_expand(const json_t *logs); /* array of AccessLog */
json_t *fp_model_tracing_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_tracing_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_tracing_expand(const json_t *t);
json_t *fp_model_network_filter_read(struct fp_model_reader *r, const json_t *v,
                                     const char *pointer);
json_t *fp_model_network_filter_shape(struct fp_model_shaper *s, const char *name);
json_t *fp_model_network_filter_expand(const json_t *f);
bool fp_model_network_filter_is_terminal(const json_t *f);
bool fp_model_network_filter_passes_on(const json_t *f); /* known not to be terminal */
extern const struct fp_model_schema fp_model_upstream_tls_schema;

/* ---- what each kind offers to model.c ---- */
struct fp_model_expansion {
    json_t *message;   /* the resource's Envoy JSON */
    json_t *generated; /* a cluster's ClusterLoadAssignment, or NULL */
};
struct fp_model_kind {
    const struct fp_model_schema *schema; /* NULL: raw form only, or not ours */
    unsigned name_max, raw_name_max;
    const char *const *columns; /* members that are columns, not configuration (NULL-terminated) */
    bool stored_shape;          /* configuration is the snake_case, tagged shape */
    void (*expand)(struct fp_model_reader *r, const json_t *c, const char *name,
                   struct fp_str service_name, struct fp_model_expansion *out);
    /* Summary columns, from the Envoy JSON (both forms share it); strings go to the arena. */
    void (*summary)(struct fp_arena *a, const json_t *message, struct fp_model_resource *out);
    /* What of the summary only the model form says; NULL: nothing. */
    void (*label)(struct fp_arena *a, const json_t *canonical, struct fp_model_resource *out);
    const char *inner_name; /* where the message holds its name */
};
extern const struct fp_model_kind fp_model_kind_cluster, fp_model_kind_route,
    fp_model_kind_listener, fp_model_kind_endpoint;
const struct fp_model_kind *fp_model_kind_of(enum fp_kind kind); /* NULL: not handled here */

/* ---- model.c ---- */
void fp_model_keep_configuration(struct fp_arena *a, json_t *configuration,
                                 struct fp_model_resource *out);

/* ---- model_raw.c ---- */
/* What may stand beside `envoy`. */
const struct fp_model_schema *fp_model_raw_schema(enum fp_kind kind);
/* The members beside `envoy`; a new reference. */
json_t *fp_model_raw_beside(struct fp_model_reader *r, enum fp_kind kind, const json_t *body,
                            const char *const *skip);
/* out->name is set (or was refused); beside may be NULL. */
int fp_model_raw_parse(struct fp_model_reader *r, enum fp_kind kind, const json_t *envoy,
                       const char *pointer, const json_t *beside, struct fp_model_resource *out);
/* The first element as canonical JSON, owned by the arena; NULL with a problem. */
json_t *fp_model_raw_decode(struct fp_model_reader *r, enum fp_kind kind, struct fp_str encoded);

/* ---- model_refs.c ---- */
/* All names a message points at, without duplicates; pointers come from r->notes where known. */
void fp_model_refs(struct fp_model_reader *r, enum fp_kind kind, const json_t *message,
                   const char *base_pointer, struct fp_model_resource *out);

/* ---- model_render.c ---- */
void fp_model_route_summary(struct fp_arena *a, enum fp_model_form form, const json_t *c,
                            struct fp_str *path, struct fp_str *target);
