/* Hash map from byte strings to pointers.  Keys are borrowed: they live as long as their entry. */
#pragma once
#include "core/core_str.h"

struct fp_map_slot {
    struct fp_str key; /* data == NULL: empty */
    void *value;
};
struct fp_map { /* {0} is a valid empty map */
    struct fp_map_slot *slots;
    size_t n, cap; /* cap is 0 or a power of two */
};

#define FP_MAP_FOREACH(it, m)                                                                      \
    for (struct fp_map_slot *it = (m)->slots; it && it < (m)->slots + (m)->cap; it++)              \
        if (it->key.data)

void fp_map_fini(struct fp_map *m);
void *fp_map_get(const struct fp_map *m, struct fp_str key);        /* NULL when absent */
void *fp_map_set(struct fp_map *m, struct fp_str key, void *value); /* returns the old value */
void *fp_map_remove(struct fp_map *m, struct fp_str key);           /* returns the old value */
