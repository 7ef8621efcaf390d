/* Private to the route files of the model room. */
#pragma once
#include "model/model_int.h"

/* model_match.c */
extern const struct fp_model_schema fp_model_match_schema, fp_model_header_matcher_schema;
json_t *fp_model_match_expand(const json_t *m); /* a RouteMatch */
json_t *fp_model_header_matchers_expand(const json_t *list);

/* model_action.c */
json_t *fp_model_action_read(struct fp_model_reader *r, const json_t *v, const char *pointer);
json_t *fp_model_action_shape(struct fp_model_shaper *s, const char *name);
/* Rules between an action (and the form it was sent in) and the path of its rule's match. */
void fp_model_action_check_path(struct fp_model_reader *r, const json_t *action, const json_t *sent,
                                const char *pointer, const json_t *path);
void fp_model_action_expand(json_t *route, const json_t *action); /* sets its oneof member */

/* model_policy.c */
extern const struct fp_model_schema fp_model_retry_schema, fp_model_rate_limit_schema,
    fp_model_hash_policy_schema, fp_model_mirror_schema;
json_t *fp_model_retry_expand(const json_t *p);
json_t *fp_model_rate_limits_expand(const json_t *list);
json_t *fp_model_hash_policies_expand(const json_t *list);
json_t *fp_model_mirrors_expand(const json_t *list);
