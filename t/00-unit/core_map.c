/* core_map: set, get, replace, remove against a plain array as the oracle. */
#include "../lib/tap.h"
#include <stdio.h>
#include "core/core_map.c"
#include "core/core_rand.h"

enum { KEYS = 500, STEPS = 20000 };

int main(void)
{
    static char names[KEYS][16];
    static void *want[KEYS];
    struct fp_map m = {0};
    size_t n = 0, wrong = 0;
    ok(!fp_map_get(&m, FP_STR("a")) && !fp_map_remove(&m, FP_STR("a")), "{0} is an empty map");
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "k%d", i);
    for (int i = 0; i < STEPS; i++) { /* phases of mostly setting, mostly removing */
        size_t k = fp_rand_u64() % KEYS;
        bool set = fp_rand_u64() % 100 < (i / 4000 % 2 ? 20u : 80u);
        struct fp_str key = fp_str_of(names[k]);
        void *value = set ? &names[fp_rand_u64() % KEYS] : NULL;
        void *old = set ? fp_map_set(&m, key, value) : fp_map_remove(&m, key);
        wrong += old != want[k];
        n += (value != NULL) - (want[k] != NULL);
        want[k] = value;
        wrong += m.n != n;
    }
    is_int(wrong, 0, "%d random steps agree with an array", STEPS);
    for (int i = 0; i < KEYS; i++)
        wrong += fp_map_get(&m, fp_str_of(names[i])) != want[i];
    is_int(wrong, 0, "and every key afterwards");
    size_t seen = 0;
    FP_MAP_FOREACH (it, &m)
        seen++;
    is_int(seen, n, "FOREACH sees each entry once");
    ok(m.n <= m.cap / 4 * 3, "at most three quarters full");
    fp_map_set(&m, FP_STR(""), &m);
    ok(fp_map_get(&m, FP_STR("")) == &m, "the empty key is a key");
    fp_map_fini(&m);
    ok(!m.slots && !m.n, "fini leaves a valid empty map");
    FP_MAP_FOREACH (it, &m)
        ok(0, "FOREACH over an empty map");
    return done_testing();
}
