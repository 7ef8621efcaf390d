/* Descriptors found in any bytes; a set that is found can be walked, and the pool takes it or says
 * why. */
#include <stdint.h>
#include "core/core_assert.h"
#include "pb/pb_extract.h"
#include "pb/pb_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_buf set = {0};
    struct fp_pb_extracted found;
    struct fp_pb_pool *pool = NULL;
    const char *why = NULL;
    int err = fp_pb_extract(fp_str_n(data, size), a, &set, &found);
    FP_ASSERT((err == 0) == (found.files_n > 0));
    if (!err && fp_pb_pool_open(&pool, fp_buf_str(&set), a, &why) == 0)
        FP_ASSERT(fp_pb_pool_size(pool).files == found.files_n);
    fp_pb_pool_free(&pool);
    fp_buf_fini(&set);
    fp_arena_free(&a);
    return 0;
}
