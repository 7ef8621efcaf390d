/* The encoding alone: tests of bytes and types use messages that keep no validate rules. */
#pragma once
#include "pb/pb_pool_int.h"

static inline void forget_rules(struct fp_pb_pool *pool)
{
    for (uint32_t i = 0; i < pool->messages_n; i++) {
        pool->messages[i].rules = 0;
        pool->messages[i].checked = false;
    }
    for (uint32_t i = 0; i < pool->fields_n; i++)
        pool->fields[i].rules = 0;
}
