/* Any bytes through the small readers: time, base64, hex, numbers, log filters, and a log line. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "codec/codec_hash.h"
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trips(struct fp_arena *a, struct fp_str s)
{
    char time[FP_CLOCK_TEXT_BYTES];
    int64_t ms, again;
    uint64_t u;
    struct fp_buf raw = {0}, text = {0}, back = {0};
    if (fp_clock_parse_rfc3339(s, &ms) && ms >= -62167219200000 && ms <= 253402300799999) {
        fp_clock_rfc3339(time, ms, true);
        FP_ASSERT(fp_clock_parse_rfc3339(fp_str_of(time), &again) && again == ms);
    }
    if (fp_base64_decode(&raw, s)) {
        fp_base64_encode(&text, raw.data, raw.len);
        FP_ASSERT(fp_base64_decode(&back, fp_buf_str(&text)));
        FP_ASSERT(fp_str_eq(fp_buf_str(&raw), fp_buf_str(&back)));
    }
    char *hex = fp_arena_alloc(a, s.len + 1), *text2 = fp_arena_alloc(a, s.len * 2 + 1);
    if (fp_unhex(hex, s)) {
        fp_hex(text2, hex, s.len / 2);
        FP_ASSERT(fp_str_case_eq(fp_str_of(text2), s));
    }
    if (fp_str_to_u64(s, &u))
        FP_ASSERT(s.len > 0);
    fp_buf_fini(&raw);
    fp_buf_fini(&text);
    fp_buf_fini(&back);
}

/* Whatever is logged: one line of UTF-8 without control characters. */
static void one_line(struct fp_str s)
{
    static int file = -1;
    static char text[1 << 17];
    struct fp_log_field f = FP_LOG_S("v", s);
    if (file < 0) {
        file = memfd_create("log", MFD_CLOEXEC);
        fp_log_fd_set(file);
    }
    for (int format = FP_LOG_JSON; format <= FP_LOG_TEXT; format++) {
        FP_ASSERT(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
        fp_log_format_set((enum fp_log_format)format);
        fp_log_write(FP_LOG_INFO, FP_LOG_API, &f, 1, "%.*s", FP_STR_ARG(s));
        ssize_t n = pread(file, text, sizeof(text), 0);
        FP_ASSERT(n > 1 && text[n - 1] == '\n' && fp_str_is_utf8(fp_str_n(text, (size_t)n)));
        for (ssize_t i = 0; i < n - 1; i++)
            FP_ASSERT((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_str s = fp_str_n(data, size < 16384 ? size : 16384);
    struct fp_arena *a = fp_arena_new(NULL);
    round_trips(a, s);
    const char *directives = fp_arena_str(a, s).data;
    if (directives && !fp_log_filter_check(directives))
        fp_log_filter_set(directives);
    fp_log_on(FP_LOG_DEBUG, FP_LOG_XDS);
    one_line(s);
    fp_arena_free(&a);
    return 0;
}
