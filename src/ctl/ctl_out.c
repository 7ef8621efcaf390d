/* What a command of flowplanectl(8) prints, and how it fails. */
#include <errno.h>
#include <stdio.h>
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"
#include "ctl/ctl_int.h"

static const char *const names[] = {
    [CTL_DONE] = "done",
    [CTL_FAILED] = "failed",
    [CTL_USAGE] = "usage",
    [CTL_UNREACHABLE] = "unreachable",
    [CTL_NOT_PERMITTED] = "not_permitted",
    [CTL_TIMEOUT] = "timeout",
    [CTL_VERSION] = "version",
    [CTL_CONDITION] = "condition",
};

void ctl_print(const struct ctl_call *c, const json_t *v)
{
    struct fp_buf out = {0};
    if (c->format == CTL_YAML)
        fp_yaml_write(&out, v);
    else
        fp_json_write(&out, v, false);
    fputs(fp_buf_cstr(&out), stdout);
    if (out.len == 0 || out.data[out.len - 1] != '\n')
        putchar('\n');
    fp_buf_fini(&out);
}

int ctl_fail(const struct ctl_call *c, enum ctl_exit exit, const char *fmt, ...)
{
    struct fp_buf out = {0};
    va_list ap;
    va_start(ap, fmt);
    const char *message = fp_arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    if (c->format == CTL_JSON) {
        fp_buf_printf(&out, "{\"error\":\"%s\",\"message\":", names[exit]);
        fp_buf_append_json(&out, fp_str_of(message));
        fp_buf_printf(&out, ",\"details\":[],\"exitCode\":%d}\n", (int)exit);
    } else {
        fp_buf_printf(&out, "flowplanectl: %s\n%s", message, exit == CTL_USAGE ? CTL_HINT : "");
    }
    fputs(fp_buf_cstr(&out), stderr);
    fp_buf_fini(&out);
    return (int)exit;
}

enum ctl_exit ctl_exit_of(int err)
{
    return err == -EACCES || err == -EPERM ? CTL_NOT_PERMITTED : CTL_FAILED;
}
