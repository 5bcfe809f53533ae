/*
 * Runs a fuzz harness over files: what crn_fuzz() links instead of libFuzzer where there is none, so that
 * every input that once found a defect is tested in every build.
 * Usage: fuzz_<name> <file or folder>...   A folder's files are run in the order of their names; folders in it
 * are not entered. Nothing to run is a failure.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    uint8_t *data = NULL;
    bool ok = false;

    if (file == NULL || fstat(fileno(file), &info) != 0) {
        perror(path);
        goto done;
    }
    /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
    size_t size = (size_t)info.st_size;
    data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        goto done;
    }
    LLVMFuzzerTestOneInput(data, size);
    ok = true;
done:
    free(data);
    if (file != NULL) fclose(file);
    return ok;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Counts the files run, or -1. */
static int replay_path(const char *path)
{
    struct dirent **entries;
    struct stat info;
    int run = 0;

    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode)) return replay_file(path) ? 1 : -1;

    int count = scandir(path, &entries, is_visible, alphasort);
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        free(entries[i]);
        if (run < 0 || len >= (int)sizeof file || (stat(file, &info) == 0 && S_ISDIR(info.st_mode))) continue;
        run = replay_file(file) ? run + 1 : -1;
    }
    if (count >= 0) free(entries);
    return run;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int run = replay_path(argv[i]);
        if (run < 0) return EXIT_FAILURE;
        total += run;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
