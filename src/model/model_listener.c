/*
 * Listeners (contract §5.4): address, filter chains and downstream TLS.  The configuration is kept
 * in its stored shape (§5.4.5).  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_int.h"

/* ---- downstream TLS (§5.4.4) ---- */
static const char *const versions[] = {"TLSv1_2", "TLSv1_3", NULL};

static const struct fp_model_rule tls_rules[] = {
    {FP_M_AT_MOST_ONE, {"caCertFile", "caSecret"}},
};
static void check_tls(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const char *const certificate[] = {"certChainFile", "certSecret", "certSecrets", NULL};
    bool key_only =
        fp_model_object_has(o, "privateKeyFile") && !fp_model_object_has(o, "certChainFile");
    bool secret = fp_model_object_has(o, "certSecret") || fp_model_object_has(o, "certSecrets");
    if (key_only && secret)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "privateKeyFile"), FP_P_MUTUALLY_EXCLUSIVE,
                       "cannot stand beside a certificate secret");
    else if (key_only)
        fp_model_tls_check_pair(r, o, "certChainFile", "privateKeyFile");
    else
        fp_model_object_rule(r, o, FP_M_EXACTLY_ONE, certificate);
    if (fp_model_object_has(o, "certChainFile"))
        fp_model_tls_check_pair(r, o, "certChainFile", "privateKeyFile");
    if (json_is_true(fp_model_object_get(r, o, "requireClientCertificate")) &&
        !fp_model_object_has(o, "caCertFile") && !fp_model_object_has(o, "caSecret"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "caCertFile"), FP_P_REQUIRED,
                       "requireClientCertificate needs caCertFile or caSecret");
    fp_model_tls_check_versions(r, o);
}
#define FILE_NAME .min = 1, .text = fp_model_text_nonblank
#define SECRET    .min = 1, .max = 255, .ref = FP_M_REF(FP_KIND_SECRET)
static const struct fp_model_field tls_fields[] = {
    {.name = "certChainFile", FP_M_STRING, FILE_NAME},
    {.name = "privateKeyFile", FP_M_STRING, FILE_NAME},
    {.name = "certSecret", FP_M_STRING, SECRET},
    {.name = "certSecrets", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min_items = 1, SECRET},
    {.name = "caCertFile", FP_M_STRING, FILE_NAME},
    {.name = "caSecret", FP_M_STRING, SECRET},
    {.name = "requireClientCertificate", FP_M_BOOL},
    {.name = "minVersion", FP_M_ENUM, .values = versions},
    {.name = "maxVersion", FP_M_ENUM, .values = versions},
    {.name = "ciphers", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min_items = 1, FILE_NAME},
    {.name = "alpn", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min_items = 1, .min = 1, .max = 255},
    {.name = "sessionTicketKeysSecret", FP_M_STRING, SECRET},
};
static const struct fp_model_schema tls_schema = FP_M_RULED(tls_fields, check_tls, tls_rules);

static json_t *expand_tls(const json_t *t)
{
    static const struct fp_model_copy copy[] = {
        {"caCertFile", "validationContext.trustedCa", FP_C_FILENAME},
    };
    json_t *common = json_object(), *secrets = json_array(), *m, *out;
    const json_t *one = json_object_get(t, "certSecret"), *ca = json_object_get(t, "caSecret");
    const json_t *tickets = json_object_get(t, "sessionTicketKeysSecret");
    size_t i;
    fp_model_tls_expand_common(common, t);
    fp_model_copy(common, t, copy, FP_M_N(copy));
    if (json_object_get(t, "certChainFile"))
        json_object_set_new(common, "tlsCertificates",
                            json_pack("[{s:{s:O}, s:{s:O}}]", "certificateChain", "filename",
                                      json_object_get(t, "certChainFile"), "privateKey", "filename",
                                      json_object_get(t, "privateKeyFile")));
    if (one)
        json_array_append_new(secrets, fp_model_sds(one));
    json_array_foreach (json_object_get(t, "certSecrets"), i, m)
        json_array_append_new(secrets, fp_model_sds(m));
    if (json_array_size(secrets))
        json_object_set(common, "tlsCertificateSdsSecretConfigs", secrets);
    json_decref(secrets);
    if (ca)
        json_object_set_new(common, "validationContextSdsSecretConfig", fp_model_sds(ca));
    out =
        json_pack("{s:s, s:{s:s, s:o, s:O*}}", "name", "envoy.transport_sockets.tls", "typedConfig",
                  FP_M_TYPED("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                  "commonTlsContext", common, "requireClientCertificate",
                  json_object_get(t, "requireClientCertificate"));
    if (tickets)
        json_object_set_new(json_object_get(out, "typedConfig"), "sessionTicketKeysSdsSecretConfig",
                            fp_model_sds(tickets));
    return out;
}

/* ---- filter chains ---- */
static const struct fp_model_field match_fields[] = {
    {.name = "serverNames",
     FP_M_STRING,
     FP_M_LIST | FP_M_UNIQUE,
     .text = fp_model_text_server_name},
    {.name = "applicationProtocols", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min = 1},
    {.name = "transportProtocol", FP_M_STRING, .min = 1},
    {.name = "sourcePrefixRanges",
     FP_M_STRING,
     FP_M_LIST | FP_M_UNIQUE,
     .text = fp_model_text_cidr},
    {.name = "destinationPort", FP_M_UINT, .min = 1, .max = 65535},
};
static const struct fp_model_schema match_schema = FP_M_SCHEMA(match_fields, NULL);

static void check_chain(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *filters = fp_model_object_get(r, o, "filters"), *f;
    const char *at = fp_model_object_at(r, o, "filters");
    size_t n = json_array_size(filters);
    for (size_t i = 0; (f = json_array_get(filters, i)) && i + 1 < n; i++)
        if (fp_model_network_filter_is_terminal(f))
            fp_problem_add(r->ps, fp_model_path_push_index(r, at, i), FP_P_INVALID_VALUE,
                           "a terminal filter must be the last");
    if (n && fp_model_network_filter_passes_on(json_array_get(filters, n - 1)))
        fp_problem_add(r->ps, fp_model_path_push_index(r, at, n - 1), FP_P_INVALID_VALUE,
                       "the last filter must be a terminal one");
}
static const struct fp_model_field chain_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "match", FP_M_OBJECT, .object = &match_schema},
    {.name = "filters",
     FP_M_READ,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .read = fp_model_network_filter_read,
     .shape = fp_model_network_filter_shape},
    {.name = "tlsContext", FP_M_OBJECT, .object = &tls_schema},
};
static const struct fp_model_schema chain_schema = FP_M_SCHEMA(chain_fields, check_chain);

static json_t *expand_range(const json_t *text)
{
    struct fp_str bits, ip = fp_str_split(fp_json_str(text), '/', &bits);
    uint64_t n = fp_model_host_is_ip6(ip) ? 128 : 32;
    if (bits.data)
        fp_str_to_u64(bits, &n);
    return json_pack("{s:s%, s:I}", "addressPrefix", ip.data, ip.len, "prefixLen", (json_int_t)n);
}

static json_t *expand_match(const json_t *m)
{
    static const struct fp_model_copy copy[] = {
        {"serverNames", "serverNames", FP_C_SAME},
        {"applicationProtocols", "applicationProtocols", FP_C_SAME},
        {"transportProtocol", "transportProtocol", FP_C_SAME},
        {"destinationPort", "destinationPort", FP_C_SAME}};
    json_t *out = json_object(), *ranges = json_array(), *v;
    size_t i;
    fp_model_copy(out, m, copy, FP_M_N(copy));
    json_array_foreach (json_object_get(m, "sourcePrefixRanges"), i, v)
        json_array_append_new(ranges, expand_range(v));
    if (json_array_size(ranges))
        json_object_set(out, "sourcePrefixRanges", ranges);
    json_decref(ranges);
    return out;
}

static json_t *expand_chain(const json_t *c)
{
    static const struct fp_model_copy copy[] = {{"name", "name", FP_C_SAME}};
    json_t *out = json_object(), *filters = json_array(), *f;
    const json_t *match = json_object_get(c, "match"), *tls = json_object_get(c, "tlsContext");
    size_t i;
    fp_model_copy(out, c, copy, FP_M_N(copy));
    json_array_foreach (json_object_get(c, "filters"), i, f)
        json_array_append_new(filters, fp_model_network_filter_expand(f));
    json_object_set_new(out, "filters", filters);
    if (json_object_size(match))
        json_object_set_new(out, "filterChainMatch", expand_match(match));
    if (tls)
        json_object_set_new(out, "transportSocket", expand_tls(tls));
    return out;
}

/* ---- the listener ---- */

/*
 * Envoy takes a match apart: one entry for each combination of its members, and refuses a second
 * chain with one of them.  Combinations are counted first: beyond COMBINATIONS_MAX only chains with
 * the same lists are told apart.
 */
#define COMBINATIONS_MAX 20000

struct combine {
    struct fp_model_reader *r;
    struct fp_map *seen;
    const json_t *lists[3]; /* server names, application protocols, source ranges; NULL: none */
    bool whole;             /* too many: the lists as they are */
    bool twice;
};

static void append_lower(struct fp_buf *b, struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        fp_buf_append_byte(
            b, (uint8_t)(s.data[i] >= 'A' && s.data[i] <= 'Z' ? s.data[i] | 32 : s.data[i]));
}

/* 10.1.2.3/8 is 10.0.0.0/8. */
static void append_range(struct fp_buf *b, struct fp_str text)
{
    unsigned char bin[16];
    struct fp_str bits, ip = fp_str_split(text, '/', &bits);
    size_t bytes = fp_model_host_bytes(ip, bin);
    uint64_t n = bytes * 8;
    if (bits.data)
        fp_str_to_u64(bits, &n);
    for (size_t i = 0; i < bytes; i++) {
        unsigned keep = n >= 8 * (i + 1) ? 8 : n > 8 * i ? (unsigned)(n - 8 * i) : 0;
        fp_buf_printf(b, "%02x", bin[i] & (0xFF00u >> keep) & 0xFF);
    }
    fp_buf_printf(b, "/%u", (unsigned)n);
}

static void combine(struct combine *c, struct fp_buf *key, size_t depth)
{
    if (depth == FP_M_N(c->lists)) {
        struct fp_str s = fp_arena_str(c->r->arena, fp_buf_str(key));
        c->twice |= fp_map_set(c->seen, s, c->seen) != NULL;
        return;
    }
    size_t n = json_array_size(c->lists[depth]), mark = key->len;
    for (size_t i = 0; i < (n && !c->whole ? n : 1); i++) {
        struct fp_str item = fp_json_str(json_array_get(c->lists[depth], i));
        fp_buf_append_byte(key, '\n');
        if (c->whole && n)
            fp_json_write(key, c->lists[depth], true);
        else if (item.data && depth == 2)
            append_range(key, item);
        else if (item.data && depth == 0)
            append_lower(key, item);
        else if (item.data)
            fp_buf_append_str(key, item);
        combine(c, key, depth + 1);
        key->len = mark;
    }
}

static void check_chains(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *chains = fp_model_object_get(r, o, "filterChains"), *chain;
    const char *at = fp_model_object_at(r, o, "filterChains");
    struct fp_map seen = {0};
    struct fp_buf key = {0};
    for (size_t i = 0; (chain = json_array_get(chains, i)); i++) {
        const json_t *m = json_object_get(chain, "match");
        struct combine c = {.r = r,
                            .seen = &seen,
                            .lists = {json_object_get(m, "serverNames"),
                                      json_object_get(m, "applicationProtocols"),
                                      json_object_get(m, "sourcePrefixRanges")}};
        double n = 1;
        for (size_t k = 0; k < FP_M_N(c.lists); k++)
            n *= json_array_size(c.lists[k]) ? (double)json_array_size(c.lists[k]) : 1;
        c.whole = n > COMBINATIONS_MAX;
        fp_buf_clear(&key);
        fp_buf_printf(&key, "%lld ",
                      (long long)json_integer_value(json_object_get(m, "destinationPort")));
        fp_buf_append_str(&key, fp_model_str(m, "transportProtocol"));
        combine(&c, &key, 0);
        if (c.twice)
            fp_problem_add(r->ps, fp_model_path_push_index(r, at, i), FP_P_DUPLICATE,
                           "another chain matches the same connections");
    }
    fp_buf_fini(&key);
    fp_map_fini(&seen);
}

static void check_listener(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *port = fp_model_object_get(r, o, "port");
    struct fp_str address = fp_json_str(fp_model_object_get(r, o, "address"));
    if (port && !r->allow_privileged_ports && json_integer_value(port) < 1024)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "port"), FP_P_OUT_OF_RANGE,
                       "must be between 1024 and 65535 (validation.allow_privileged_ports)");
    /* A response shows the label of a row that has none: sent back beside config, it is not one */
    if (o->in_n == 2 && !json_object_get(o->in[0], "protocol") &&
        fp_str_eq_c(fp_json_str(fp_model_object_get(r, o, "protocol")), "HTTP"))
        json_object_del(o->out, "protocol");
    if (address.data && !fp_model_host_is_ip(address))
        fp_model_warn(r, "unchecked_config", fp_model_object_at(r, o, "address"),
                      "Envoy binds to IP addresses only, unless a resolver is set up");
    check_chains(r, o);
}

static const struct fp_model_field fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "address",
     FP_M_STRING,
     FP_M_REQUIRED,
     .min = 1,
     .max = 255,
     .text = fp_model_text_host},
    {.name = "port", FP_M_UINT, FP_M_REQUIRED, .min = 1, .max = 65535},
    {.name = "protocol", FP_M_STRING, .min = 1, .max = 32, .text = fp_model_text_name},
    {.name = "filterChains",
     FP_M_OBJECT,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .object = &chain_schema},
    {.name = "proxyProtocol", FP_M_BOOL},
    {.name = "perConnectionBufferLimitBytes", FP_M_UINT},
};
static const struct fp_model_schema schema = FP_M_SCHEMA(fields, check_listener);

/* When Envoy needs to look into the TLS hello to choose a chain. */
static bool inspects_tls(const json_t *chains)
{
    const json_t *c;
    for (size_t i = 0; (c = json_array_get(chains, i)); i++) {
        const json_t *m = json_object_get(c, "match");
        struct fp_str transport = fp_model_str(m, "transportProtocol");
        if (json_array_size(json_object_get(m, "serverNames")) || fp_str_eq_c(transport, "tls") ||
            (!transport.data && json_array_size(json_object_get(m, "applicationProtocols"))))
            return true;
    }
    return false;
}

static json_t *listener_filter(const char *name, const char *type)
{
    return json_pack("{s:s, s:{s:s}}", "name", name, "typedConfig", "@type", type);
}

static void expand(struct fp_model_reader *r, const json_t *c, const char *name,
                   struct fp_str service_name, struct fp_model_expansion *x)
{
    static const struct fp_model_copy copy[] = {
        {"perConnectionBufferLimitBytes", "perConnectionBufferLimitBytes", FP_C_SAME}};
    json_t *out = x->message =
        json_pack("{s:s, s:{s:{s:O, s:O}}}", "name", name, "address", "socketAddress", "address",
                  json_object_get(c, "address"), "portValue", json_object_get(c, "port"));
    json_t *chains = json_array(), *before = json_array(), *m;
    size_t i;
    fp_model_copy(out, c, copy, FP_M_N(copy));
    json_array_foreach (json_object_get(c, "filterChains"), i, m)
        json_array_append_new(chains, expand_chain(m));
    json_object_set_new(out, "filterChains", chains);
    if (fp_model_true(c, "proxyProtocol")) /* its header precedes the TLS hello */
        json_array_append_new(
            before, listener_filter("envoy.filters.listener.proxy_protocol", FP_TYPE_URL_PREFIX
                                    "envoy.extensions.filters.listener.proxy_protocol.v3."
                                    "ProxyProtocol"));
    if (inspects_tls(json_object_get(c, "filterChains")))
        json_array_append_new(
            before,
            listener_filter("envoy.filters.listener.tls_inspector", FP_TYPE_URL_PREFIX
                            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"));
    if (json_array_size(before))
        json_object_set(out, "listenerFilters", before);
    json_decref(before);
}

/* The label of a raw listener: what its chains speak. */
static struct fp_str spoken(const json_t *message)
{
    const json_t *chain = json_array_get(json_object_get(message, "filterChains"), 0), *f;
    if (!chain)
        chain = json_object_get(message, "defaultFilterChain");
    for (size_t i = 0; (f = json_array_get(json_object_get(chain, "filters"), i)); i++)
        if (fp_str_ends(fp_model_typed_name(json_object_get(f, "typedConfig")),
                        FP_STR(".HttpConnectionManager")))
            return FP_STR("HTTP");
    return FP_STR("TCP");
}

static void summary(struct fp_arena *a, const json_t *message, struct fp_model_resource *out)
{
    const json_t *address = json_object_get(message, "address");
    const json_t *socket = json_object_get(address, "socketAddress");
    const json_t *port = json_object_get(socket, "portValue");
    struct fp_str text = fp_model_str(socket, "address");
    if (!text.data)
        text = fp_model_str(json_object_get(address, "pipe"), "path");
    out->address = text.data ? fp_arena_str(a, text) : FP_STR("");
    out->port =
        json_integer_value(port) ? (int)json_integer_value(port) : -1; /* 0: any that is free */
    out->protocol = spoken(message);
}

/* Of a model listener the label is the user's. */
static void label(struct fp_arena *a, const json_t *canonical, struct fp_model_resource *out)
{
    struct fp_str protocol = fp_model_str(canonical, "protocol");
    out->protocol = protocol.data ? fp_arena_str(a, protocol) : FP_STR("HTTP");
}

static const char *const columns[] = {"team", NULL};
const struct fp_model_kind fp_model_kind_listener = {.schema = &schema,
                                                     .name_max = 255,
                                                     .raw_name_max = 255,
                                                     .columns = columns,
                                                     .stored_shape = true,
                                                     .expand = expand,
                                                     .summary = summary,
                                                     .label = label,
                                                     .inner_name = "name"};
