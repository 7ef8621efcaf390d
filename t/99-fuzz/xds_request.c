/*
 * Any bytes as a discovery request: walked, its names read twice, its node kept.  The same bytes go
 * through a set of names, which must be sorted and without duplicates whatever they are.
 */
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "xds/xds_subscription_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct fp_xds_request *r, bool wildcard)
{
    struct fp_xds_names_pool pool = {0};
    struct fp_xds_names *n = fp_xds_names_of(&pool, r, wildcard, true, NULL);
    for (uint32_t i = 1; i < n->n; i++)
        FP_ASSERT(fp_str_cmp(n->at[i - 1], n->at[i]) < 0);
    struct fp_xds_names *again = fp_xds_names_of(&pool, r, wildcard, true, n);
    struct fp_xds_names *both = fp_xds_names_intersect(n, again);
    FP_ASSERT(again == n && both == n && !fp_xds_names_gains(n, again));
    fp_xds_names_unref(&both);
    fp_xds_names_unref(&again);
    fp_xds_names_unref(&n);
    fp_xds_names_pool_fini(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_xds_request r;
    struct fp_xds_node *node = NULL;
    if (fp_xds_request_parse(fp_str_n(data, size), &r))
        return 0;
    struct fp_str cursor = r.message, name;
    uint32_t names = 0;
    while (fp_xds_request_name(&cursor, &name))
        names++;
    FP_ASSERT(names == r.names_n);
    check_names(&r, true);
    check_names(&r, false);
    if (r.node.data && fp_xds_node_parse(r.node, FP_STR("subject"), &node) == 0)
        FP_ASSERT(node->id.len && node->features.len <= size + 1);
    fp_mem_free(node);
    return 0;
}
