/* Private to the model room: what model_schema.c needs of model_shape.c. */
#pragma once
#include "model/model_int.h"

/* Lives in the arena; components: name → schema, filled by what is shaped. */
struct fp_model_shaper *fp_model_shaper_new(struct fp_arena *a, json_t *components);
void fp_model_shape_spell(struct fp_model_shaper *s, enum fp_model_spelling spelling);
/* An object with "properties" and "required" that takes nothing else. */
json_t *fp_model_shape_closed(void);
/* The fields of a table into it, but those of `skip` (NULL-terminated, may be NULL). */
void fp_model_shape_members(struct fp_model_shaper *s, const struct fp_model_schema *schema,
                            json_t *object, const char *const *skip, bool require);
json_t *fp_model_shape_nullable(json_t *v); /* takes the reference */
