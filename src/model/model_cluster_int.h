/* Private to the cluster files of the model room. */
#pragma once
#include "model/model_int.h"

enum fp_model_tls_mode {
    FP_MODEL_TLS_NONE,
    FP_MODEL_TLS_EXPLICIT, /* useTls: true, or tls */
    FP_MODEL_TLS_IMPLICIT, /* port 443 and nothing said: encrypted, not verified */
};
enum fp_model_tls_mode fp_model_cluster_tls_mode(const json_t *c);
const json_t *fp_model_cluster_sni(const json_t *c);  /* borrowed, NULL: none */
json_t *fp_model_cluster_tls_expand(const json_t *c); /* a TransportSocket, NULL: none */
void fp_model_cluster_expand(struct fp_model_reader *r, const json_t *c, const char *name,
                             struct fp_str service_name, struct fp_model_expansion *out);

enum fp_model_discovery {
    FP_MODEL_STATIC,
    FP_MODEL_STRICT_DNS,
    FP_MODEL_LOGICAL_DNS,
    FP_MODEL_EDS
};
enum fp_model_discovery fp_model_cluster_discovery(const json_t *c); /* §5.2.2 */
extern const char *const fp_model_discovery_names[];

extern const struct fp_model_schema fp_model_health_check_schema;
bool fp_model_cluster_checks_grpc(const json_t *c); /* some health check is of type grpc */
