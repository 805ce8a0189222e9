/*
 * Feeds every file of a corpus to a fuzz target once and reports one TAP line per file: what a fuzz target is in a
 * build without libFuzzer. A finding shows as a crash or a sanitizer's report, which ends the program early and so
 * leaves the plan unmet.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { INPUT_MAX = 1 << 20 };

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_file(const char *dir, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -1;

    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;

    uint8_t *buf = malloc(INPUT_MAX);
    if (buf == NULL) {
        fclose(file);
        return -1;
    }
    size_t len = fread(buf, 1, INPUT_MAX, file);
    int failed = ferror(file);
    fclose(file);

    /* A copy of the exact size, so that a sanitizer sees a read one byte past the end. */
    uint8_t *input = failed ? NULL : malloc(len > 0 ? len : 1);
    if (input != NULL) {
        memcpy(input, buf, len);
        LLVMFuzzerTestOneInput(input, len);
    }
    free(buf);
    if (input == NULL)
        return -1;
    free(input);
    return 0;
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    int failures = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return 2;
    }

    int num = scandir(argv[1], &entries, is_input, alphasort);
    if (num <= 0) {
        printf("1..0 # SKIP no corpus in %s\n", argv[1]);
        return 0;
    }

    printf("1..%d\n", num);
    for (int i = 0; i < num; i++) {
        int err = replay_file(argv[1], entries[i]->d_name);
        printf("%s %d - %s\n", err == 0 ? "ok" : "not ok", i + 1, entries[i]->d_name);
        fflush(stdout);
        if (err != 0)
            failures++;
        free(entries[i]);
    }
    free(entries);
    return failures == 0 ? 0 : 1;
}
