/* Texts of enum fp_err. */
#include <string.h>
#include "core/core_err.h"

static const char *const texts[] = {
    "protocol error",    "limit reached", "data is corrupt", "version not supported",
    "not available now", "invalid input", "not found",       "closed",
};

const char *fp_err_text(int err)
{
    if (err == 0)
        return "success";
    if (err <= FP_ERR_PROTOCOL) {
        size_t i = (size_t)(FP_ERR_PROTOCOL - err);
        return i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : "unknown error";
    }
    const char *s = err < 0 ? strerrordesc_np(-err) : NULL; /* static text, unlike strerror */
    return s ? s : "unknown error";
}
