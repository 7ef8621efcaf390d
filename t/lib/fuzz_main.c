/*
 * Replays a fuzz target's corpus, t/99-fuzz/corpus/<target>/, as TAP: every file must pass through
 * without a crash, and so must its first halves and a copy with one bit turned.  libFuzzer brings
 * its own main (--with-fuzzer).  Tests only.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX_BYTES = 8 << 20 };

/* A heap block of exactly `size` bytes, so that a sanitizer sees the first byte beyond. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void feed_file(const char *path)
{
    uint8_t *data = malloc(INPUT_MAX_BYTES);
    FILE *f = fopen(path, "rb");
    if (data == NULL || f == NULL)
        abort();
    size_t size = fread(data, 1, INPUT_MAX_BYTES, f);
    fclose(f);

    feed(data, size);
    for (size_t half = size / 2; half > 0; half /= 2)
        feed(data, half);
    if (size > 0) {
        data[size / 3] ^= 0x10;
        feed(data, size);
    }
    free(data);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    char dir[512];
    if (argc > 1)
        snprintf(dir, sizeof dir, "%s", argv[1]);
    else
        snprintf(dir, sizeof dir, "t/99-fuzz/corpus/%s", slash ? slash + 1 : argv[0]);

    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    int tests = 0;
    feed((const uint8_t *)"", 0);
    printf("ok %d - nothing\n", ++tests);
    for (int i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            feed_file(path);
            printf("ok %d - %s\n", ++tests, names[i]->d_name);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    printf("1..%d\n", tests);
    return 0;
}
