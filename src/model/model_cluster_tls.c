/*
 * Upstream TLS (contract §5.2.3): when a cluster speaks TLS, with which SNI, and what it verifies.
 * Runs in API workers and the watcher; files are names on the Envoy host and never opened here.
 */
#include "codec/codec_json.h"
#include "model/model_cluster_int.h"

#define DEFAULT_CA "/etc/ssl/certs/ca-certificates.crt"

static const char *const versions[] = {"TLSv1_2", "TLSv1_3", NULL};

void fp_model_tls_check_versions(struct fp_model_reader *r, const struct fp_model_object *o)
{
    if (fp_str_eq_c(fp_json_str(fp_model_object_get(r, o, "minVersion")), "TLSv1_3") &&
        fp_str_eq_c(fp_json_str(fp_model_object_get(r, o, "maxVersion")), "TLSv1_2"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "maxVersion"), FP_P_INVALID_VALUE,
                       "is below minVersion");
}

/* Half a pair names the missing half. */
void fp_model_tls_check_pair(struct fp_model_reader *r, const struct fp_model_object *o,
                             const char *certificate, const char *key)
{
    bool has_certificate = fp_model_object_has(o, certificate),
         has_key = fp_model_object_has(o, key);
    if (has_certificate != has_key)
        fp_problem_add(r->ps, fp_model_object_at(r, o, has_key ? certificate : key), FP_P_REQUIRED,
                       "%s and %s go together", certificate, key);
}

static const struct fp_model_rule rules[] = {
    {FP_M_AT_MOST_ONE, {"caFile", "caSecret"}},
};
static void check_tls(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const char *const certificate[] = {"certFile", "certSecret", NULL};
    static const char *const key[] = {"certSecret", "keyFile", NULL};
    static const char *const verified[] = {"caFile", "caSecret", "subjectAltNames", NULL};
    fp_model_object_rule(r, o, FP_M_AT_MOST_ONE,
                         fp_model_object_has(o, "certFile") ? certificate : key);
    if (!fp_model_object_has(o, "certSecret"))
        fp_model_tls_check_pair(r, o, "certFile", "keyFile");
    fp_model_tls_check_versions(r, o);
    if (!json_is_false(fp_model_object_get(r, o, "verify")))
        return;
    for (const char *const *n = verified; *n; n++)
        if (fp_model_object_has(o, *n))
            fp_problem_add(r->ps, fp_model_object_at(r, o, *n), FP_P_MUTUALLY_EXCLUSIVE,
                           "cannot stand beside verify: false");
}

#define FILE_NAME .min = 1, .text = fp_model_text_nonblank
static const struct fp_model_field fields[] = {
    {.name = "caFile", FP_M_STRING, FILE_NAME},
    {.name = "caSecret", FP_M_STRING, .min = 1, .max = 255, .ref = FP_M_REF(FP_KIND_SECRET)},
    {.name = "verify", FP_M_BOOL},
    {.name = "subjectAltNames",
     FP_M_OBJECT,
     FP_M_LIST,
     .min_items = 1,
     .object = &fp_model_string_matcher_schema},
    {.name = "certFile", FP_M_STRING, FILE_NAME},
    {.name = "keyFile", FP_M_STRING, FILE_NAME},
    {.name = "certSecret", FP_M_STRING, .min = 1, .max = 255, .ref = FP_M_REF(FP_KIND_SECRET)},
    {.name = "alpn", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min_items = 1, .min = 1, .max = 255},
    {.name = "minVersion", FP_M_ENUM, .values = versions},
    {.name = "maxVersion", FP_M_ENUM, .values = versions},
    {.name = "ciphers", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .min_items = 1, FILE_NAME},
};
const struct fp_model_schema fp_model_upstream_tls_schema = FP_M_RULED(fields, check_tls, rules);

enum fp_model_tls_mode fp_model_cluster_tls_mode(const json_t *c)
{
    const json_t *use = json_object_get(c, "useTls"), *e;
    if (json_is_false(use))
        return FP_MODEL_TLS_NONE;
    if (json_is_true(use) || json_object_get(c, "tls"))
        return FP_MODEL_TLS_EXPLICIT;
    for (size_t i = 0; (e = json_array_get(json_object_get(c, "endpoints"), i)); i++)
        if (json_integer_value(json_object_get(e, "port")) == 443)
            return FP_MODEL_TLS_IMPLICIT;
    return FP_MODEL_TLS_NONE;
}

/* tlsServerName, else the first host name, else NULL. */
const json_t *fp_model_cluster_sni(const json_t *c)
{
    const json_t *name = json_object_get(c, "tlsServerName"), *e;
    for (size_t i = 0; !name && (e = json_array_get(json_object_get(c, "endpoints"), i)); i++) {
        struct fp_str host = fp_model_str(e, "host");
        if (host.data && !fp_model_host_is_ip(host))
            name = json_object_get(e, "host");
    }
    return name;
}

/* A matcher that does not say which kind of name it means is tried against each kind. */
static json_t *any_san(const json_t *matchers)
{
    static const char *const types[] = {"DNS", "URI", "EMAIL", "IP_ADDRESS"};
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach ((json_t *)matchers, i, m)
        for (size_t k = 0; k < FP_M_N(types); k++)
            json_array_append_new(out, json_pack("{s:s, s:o}", "sanType", types[k], "matcher",
                                                 fp_model_string_matcher(m)));
    return out;
}

static void validation(json_t *common, const json_t *tls, const json_t *sni)
{
    const json_t *secret = json_object_get(tls, "caSecret"), *file = json_object_get(tls, "caFile");
    const json_t *names = json_object_get(tls, "subjectAltNames");
    json_t *context = json_object();
    if (names)
        json_object_set_new(context, "matchTypedSubjectAltNames", any_san(names));
    else if (sni)
        json_object_set_new(
            context, "matchTypedSubjectAltNames",
            json_pack("[{s:s, s:{s:O}}]", "sanType", "DNS", "matcher", "exact", sni));
    if (!secret) {
        json_object_set_new(context, "trustedCa",
                            file ? json_pack("{s:O}", "filename", file)
                                 : json_pack("{s:s}", "filename", DEFAULT_CA));
        json_object_set_new(common, "validationContext", context);
        return;
    }
    if (json_object_size(context)) {
        json_object_set_new(common, "combinedValidationContext",
                            json_pack("{s:O, s:o}", "defaultValidationContext", context,
                                      "validationContextSdsSecretConfig", fp_model_sds(secret)));
    } else {
        json_object_set_new(common, "validationContextSdsSecretConfig", fp_model_sds(secret));
    }
    json_decref(context);
}

void fp_model_tls_expand_common(json_t *common, const json_t *tls)
{
    static const struct fp_model_copy copy[] = {
        {"minVersion", "tlsParams.tlsMinimumProtocolVersion", FP_C_SAME},
        {"maxVersion", "tlsParams.tlsMaximumProtocolVersion", FP_C_SAME},
        {"ciphers", "tlsParams.cipherSuites", FP_C_SAME},
        {"alpn", "alpnProtocols", FP_C_SAME},
    };
    fp_model_copy(common, tls, copy, FP_M_N(copy));
}

json_t *fp_model_cluster_tls_expand(const json_t *c)
{
    enum fp_model_tls_mode mode = fp_model_cluster_tls_mode(c);
    if (mode == FP_MODEL_TLS_NONE)
        return NULL;
    const json_t *tls = json_object_get(c, "tls"), *sni = fp_model_cluster_sni(c);
    json_t *common = json_object();
    fp_model_tls_expand_common(common, tls);
    const json_t *secret = json_object_get(tls, "certSecret");
    if (json_object_get(tls, "certFile"))
        json_object_set_new(common, "tlsCertificates",
                            json_pack("[{s:{s:O}, s:{s:O}}]", "certificateChain", "filename",
                                      json_object_get(tls, "certFile"), "privateKey", "filename",
                                      json_object_get(tls, "keyFile")));
    if (secret)
        json_object_set_new(common, "tlsCertificateSdsSecretConfigs",
                            json_pack("[o]", fp_model_sds(secret)));
    if (mode == FP_MODEL_TLS_EXPLICIT && !json_is_false(json_object_get(tls, "verify")))
        validation(common, tls, sni);
    return json_pack("{s:s, s:{s:s, s:O*, s:o}}", "name", "envoy.transport_sockets.tls",
                     "typedConfig",
                     FP_M_TYPED("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
                     "sni", sni, "commonTlsContext", common);
}
