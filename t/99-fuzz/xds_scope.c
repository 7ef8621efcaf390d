/* Node metadata and certificate names (contract §9.4): any bytes from a client. */
#include <stdint.h>
#include <stdlib.h>
#include "pb/pb_guard.h"
#include "xds/xds_request_int.h"
#include "xds/xds_scope_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fp_xds_scopes pool = {0};
    struct fp_arena *arena = fp_arena_new(NULL);
    struct fp_str in = fp_str_n(data, n);
    struct fp_str team = fp_xds_scope_san_team("spiffe://d/{team}/x", in);
    for (size_t i = 0; i < team.len; i++)
        if (strchr("/.:", team.data[i]))
            abort();
    const Google__Protobuf__Struct *said =
        fp_pb_unpack(&google__protobuf__struct__descriptor, in, FP_XDS_METADATA_ELEMENTS, arena);
    if (said) {
        (void)fp_xds_scope_claimed_team(said);
        struct fp_xds_scope *a = fp_xds_scope_of(&pool, said, team),
                            *b = fp_xds_scope_of(&pool, said, team);
        if (a != b)
            abort(); /* equal scopes are equal pointers */
        for (uint32_t i = 1; i < a->listeners_n; i++)
            if (fp_str_cmp(a->listeners[i - 1], a->listeners[i]) >= 0)
                abort();
        fp_xds_scope_unref(&a);
        fp_xds_scope_unref(&b);
    }
    if (fp_arena_bytes(arena) > 64 * n + (2u << 20))
        abort(); /* what a node makes us hold is bounded */
    fp_arena_free(&arena);
    fp_xds_scopes_fini(&pool);
    return 0;
}
