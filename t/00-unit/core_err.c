/* core_err, core_mem, core_list, core_assert. */
#include "../lib/tap.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_err.c"
#include "core/core_list.h"
#include "core/core_mem.h"

static void errors(void)
{
    is_str(fp_err_text(0), "success", "0");
    is_str(fp_err_text(-ENOENT), "No such file or directory", "-errno");
    is_str(fp_err_text(FP_ERR_PROTOCOL), "protocol error", "the first of ours");
    is_str(fp_err_text(FP_ERR_CLOSED), "closed", "the last of ours");
    is_str(fp_err_text(FP_ERR_CLOSED - 1), "unknown error", "beyond ours");
    is_str(fp_err_text(-999), "unknown error", "no such errno");
    is_str(fp_err_text(5), "unknown error", "positive");
}

static void lists(void)
{
    struct fp_list head, n[3] = {{0}};
    char seen[4] = "";
    fp_list_init(&head);
    ok(fp_list_empty(&head) && !fp_list_pop_front(&head), "empty");
    fp_list_push_back(&head, &n[1]);
    fp_list_push_back(&head, &n[2]);
    fp_list_push_front(&head, &n[0]);
    ok(fp_list_linked(&n[1]), "linked");
    FP_LIST_FOREACH_SAFE (it, &head) {
        seen[strlen(seen)] = (char)('0' + (it - n));
        fp_list_remove(it);
    }
    is_str(seen, "012", "order, and removal while walking");
    ok(fp_list_empty(&head) && !fp_list_linked(&n[1]), "all removed");
    fp_list_remove(&n[1]);
    ok(!fp_list_linked(&n[1]), "removing twice does nothing");
}

/* The last line of a process that failed an assert, and how it ended. */
static void asserts(void)
{
    char text[512] = "";
    int p[2], status = 0;
    if (pipe(p))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[1], STDOUT_FILENO); /* where the log goes by default */
        FP_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(p[1]);
    ssize_t n = read(p[0], text, sizeof(text) - 1);
    waitpid(pid, &status, 0);
    ok(n > 0 && strstr(text, "assertion failed: 1 + 1 == 3 at "), "a failed assert is logged");
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "… and ends the process by SIGABRT");
    close(p[0]);
}

int main(void)
{
    errors();
    lists();
    asserts();
    char *p = fp_mem_calloc(3, 4);
    ok(!p[0] && !p[11], "calloc zeroes");
    p = fp_mem_realloc(p, 100);
    fp_mem_free(p);
    fp_mem_free(NULL);
    p = fp_mem_alloc(0);
    ok(p, "zero bytes are not NULL");
    fp_mem_free(p);
    return done_testing();
}
